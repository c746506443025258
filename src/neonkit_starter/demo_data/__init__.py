"""A starter full of plausible people and posts: `python -m neonkit_starter.demo_data --help`."""

from neonkit_starter.demo_data.filling import DemoDataError, fill
from neonkit_starter.demo_data.rows import DOMAIN, PASSWORD, Plan

__all__ = ["DOMAIN", "PASSWORD", "DemoDataError", "Plan", "fill"]
