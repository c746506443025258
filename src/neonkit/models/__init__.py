"""Rows and inputs: bases, mixins and field types over SQLModel."""

from neonkit._public_names import show_public_names
from neonkit.models import _mappers as _mappers  # listens to what is mapped
from neonkit.models._inputs import InputModel, PatchModel
from neonkit.models._tables import TableModel, TimestampMixin, VersionMixin
from neonkit.models._times import UtcDateTime

__all__ = [
    "InputModel",
    "PatchModel",
    "TableModel",
    "TimestampMixin",
    "UtcDateTime",
    "VersionMixin",
]

show_public_names(__name__)
