"""The database: engine, pool, connecting through a cold start, sessions and their end, faults."""

from neonkit.db._database import Database
from neonkit.db._engine import create_engine
from neonkit.db._faults import Fault, FaultKind, fault_of, problem_error_of
from neonkit.db._policies import PoolPolicy, TimeoutPolicy
from neonkit.db._pool import PoolUse
from neonkit.db._pulse import Pulse
from neonkit.db._scope import Scope, current_scope, open_scope

__all__ = [
    "Database",
    "Fault",
    "FaultKind",
    "PoolPolicy",
    "PoolUse",
    "Pulse",
    "Scope",
    "TimeoutPolicy",
    "create_engine",
    "current_scope",
    "fault_of",
    "open_scope",
    "problem_error_of",
]
