"""The database: engine, pool, connecting through a cold start, sessions and their end, faults."""

from neonkit._public_names import show_public_names
from neonkit.db._backoff import Backoff
from neonkit.db._conditions import Condition, Conditions, Guard
from neonkit.db._database import Database
from neonkit.db._faults.classification import Fault, FaultKind, fault_of, problem_error_of
from neonkit.db._faults.refused_values import RefusedValue, refused_value_of
from neonkit.db._keys.answers import UnstorableAnswerError
from neonkit.db._keys.keys import Key
from neonkit.db._policies import PoolPolicy, TimeoutPolicy
from neonkit.db._schema import bring_schema, schema_lead
from neonkit.db._scope import Scope, current_scope, guard_scope, open_scope
from neonkit.db._statements.execution import rows_by_name
from neonkit.db._statements.sql import sql_statement
from neonkit.db._tables import make_tables, schemas_of
from neonkit.db._templates import Bound, bind, build_once, unbound
from neonkit.db._units.lone_writes import strange_listeners, why_not_alone
from neonkit.db._units.sessions import AsyncSession, Session, carrying_guard
from neonkit.db._wire.engine import (
    Driver,
    create_engine,
    dsn_of,
    is_behind_pooler,
    is_ours,
    watching,
)
from neonkit.db._wire.estimates import execute_beside, expected_rows
from neonkit.db._wire.listeners import listen, unlisten
from neonkit.db._wire.observed_health import ObservedHealth, Stage, Witness
from neonkit.db._wire.passwords import PasswordSource, with_password
from neonkit.db._wire.pool import PoolUse
from neonkit.db._wire.returning_connection import borrowed_connection
from neonkit.db._wire.sent_statements import SentStatement

__all__ = [
    "AsyncSession",
    "Backoff",
    "Bound",
    "Condition",
    "Conditions",
    "Database",
    "Driver",
    "Fault",
    "FaultKind",
    "Guard",
    "Key",
    "ObservedHealth",
    "PasswordSource",
    "PoolPolicy",
    "PoolUse",
    "RefusedValue",
    "Scope",
    "SentStatement",
    "Session",
    "Stage",
    "TimeoutPolicy",
    "UnstorableAnswerError",
    "Witness",
    "bind",
    "borrowed_connection",
    "bring_schema",
    "build_once",
    "carrying_guard",
    "create_engine",
    "current_scope",
    "dsn_of",
    "execute_beside",
    "expected_rows",
    "fault_of",
    "guard_scope",
    "is_behind_pooler",
    "is_ours",
    "listen",
    "make_tables",
    "open_scope",
    "problem_error_of",
    "refused_value_of",
    "rows_by_name",
    "schema_lead",
    "schemas_of",
    "sql_statement",
    "strange_listeners",
    "unbound",
    "unlisten",
    "watching",
    "why_not_alone",
    "with_password",
]

show_public_names(__name__)
