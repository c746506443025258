"""Whether the service should get traffic: truthful, bounded, and never what wakes the database."""

from neonkit.health._readiness import Readiness

__all__ = ["Readiness"]
