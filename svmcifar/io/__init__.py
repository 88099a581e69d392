"""Files and folders written whole, hashes of what they hold, objects read without running anything."""
