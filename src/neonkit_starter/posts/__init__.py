"""Posts, which users write."""
