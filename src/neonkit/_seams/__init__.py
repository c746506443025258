"""The inside of other packages: each private name that we rely on, and what breaks without it."""
