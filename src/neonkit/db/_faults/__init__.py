"""Faults: what a driver's error means, by SQLSTATE, constraint and the state of the connection."""
