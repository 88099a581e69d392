"""Kernels: their common interface, the kernels there are, and blocks of their values."""
