"""Files that appear whole, hashes of their content, and reading them without running anything."""
