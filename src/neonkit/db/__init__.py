"""The database: engine, pool, connecting through a cold start, sessions and their end, faults."""

from neonkit.db._alone import why_not_alone
from neonkit.db._database import Database
from neonkit.db._engine import Driver, create_engine, is_behind_pooler
from neonkit.db._explain import execute_beside, expected_rows
from neonkit.db._faults import Fault, FaultKind, fault_of, problem_error_of
from neonkit.db._keys import Key, UnstorableAnswerError
from neonkit.db._listeners import listen, unlisten
from neonkit.db._once import rows_by_name
from neonkit.db._policies import PoolPolicy, TimeoutPolicy
from neonkit.db._pool import PoolUse
from neonkit.db._pulse import Pulse
from neonkit.db._schema import bring_schema, has_schema
from neonkit.db._scope import Scope, current_scope, open_scope
from neonkit.db._templates import Bound, Condition, bind, put_together, unbound

__all__ = [
    "Bound",
    "Condition",
    "Database",
    "Driver",
    "Fault",
    "FaultKind",
    "Key",
    "PoolPolicy",
    "PoolUse",
    "Pulse",
    "Scope",
    "TimeoutPolicy",
    "UnstorableAnswerError",
    "bind",
    "bring_schema",
    "create_engine",
    "current_scope",
    "execute_beside",
    "expected_rows",
    "fault_of",
    "has_schema",
    "is_behind_pooler",
    "listen",
    "open_scope",
    "problem_error_of",
    "put_together",
    "rows_by_name",
    "unbound",
    "unlisten",
    "why_not_alone",
]
