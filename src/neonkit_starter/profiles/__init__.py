"""A user together with what the user has written."""
