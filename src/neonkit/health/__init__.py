"""Readiness: truthful, bounded, and never what wakes a sleeping database."""

from neonkit._public_names import show_public_names
from neonkit.health._readiness import Readiness

__all__ = ["Readiness"]

show_public_names(__name__)
