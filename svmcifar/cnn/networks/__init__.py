"""The small networks of the documents that docs/cnn.md compares with, a file each."""
