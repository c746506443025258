"""The environment, read once at the door, into the policies of the rooms below."""

from neonkit._public_names import show_public_names
from neonkit.settings._app_target import AppTarget
from neonkit.settings._database import database_at, describe_database, embedded_url
from neonkit.settings._launch import LaunchSettings
from neonkit.settings._settings import Settings

__all__ = [
    "AppTarget",
    "LaunchSettings",
    "Settings",
    "database_at",
    "describe_database",
    "embedded_url",
]

show_public_names(__name__)
