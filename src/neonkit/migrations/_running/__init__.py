"""Revisions run on a database: over one connection, once, with patience, there and back."""
