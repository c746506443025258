"""Fixtures of the end-to-end tests."""

from support.outside import outside

__all__ = ["outside"]
