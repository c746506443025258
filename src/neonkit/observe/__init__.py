"""The service's word about itself: its log, its slow statements, its metrics."""

from neonkit._public_names import show_public_names
from neonkit.observe._logs import ConsoleFormatter, JsonFormatter, configure_logging
from neonkit.observe._metrics import Metrics, forget_worker, share_metrics
from neonkit.observe._slow_statements import log_slow_query, slower_than
from neonkit.observe._statement_events import Sink, StatementEvent, watch_statements
from neonkit.observe._statement_fingerprints import Fingerprint

__all__ = [
    "ConsoleFormatter",
    "Fingerprint",
    "JsonFormatter",
    "Metrics",
    "Sink",
    "StatementEvent",
    "configure_logging",
    "forget_worker",
    "log_slow_query",
    "share_metrics",
    "slower_than",
    "watch_statements",
]

show_public_names(__name__)
