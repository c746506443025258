"""The environment, read once at the door, into the policies of the rooms below."""

from neonkit._public_names import show_public_names
from neonkit.settings._pyproject import declared_app
from neonkit.settings._settings import Settings

__all__ = ["Settings", "declared_app"]

show_public_names(__name__)
