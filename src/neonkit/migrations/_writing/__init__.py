"""A new revision: what the models say beyond the history, as a file."""
