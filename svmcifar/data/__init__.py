"""Find, check and read the images and their labels."""
