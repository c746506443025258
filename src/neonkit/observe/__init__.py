"""What the service says about itself: its log, its slow statements, its metrics."""

from neonkit.observe._fingerprints import Fingerprint
from neonkit.observe._logs import ConsoleFormatter, JsonFormatter, configure_logging
from neonkit.observe._metrics import Metrics, forget_worker, share_metrics
from neonkit.observe._queries import QueryEvent, Sink, watch_queries
from neonkit.observe._slow import log_slow_query, slower_than

__all__ = [
    "ConsoleFormatter",
    "Fingerprint",
    "JsonFormatter",
    "Metrics",
    "QueryEvent",
    "Sink",
    "configure_logging",
    "forget_worker",
    "log_slow_query",
    "share_metrics",
    "slower_than",
    "watch_queries",
]
