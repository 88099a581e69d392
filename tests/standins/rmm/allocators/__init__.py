"""RMM's allocators for other libraries."""
