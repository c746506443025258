"""A user together with what is theirs: posts and accounts."""
