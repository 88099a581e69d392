"""Where arrays live, what the machine has, and how its processors are used."""
