"""What the service says about itself: its log, one line per event."""

from neonkit.observe._logs import ConsoleFormatter, JsonFormatter, configure_logging

__all__ = ["ConsoleFormatter", "JsonFormatter", "configure_logging"]
