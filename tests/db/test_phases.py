"""When BEGIN goes out: every phase, way of sending and isolation level."""

from itertools import product

import pytest
from sqlalchemy.engine.interfaces import IsolationLevel

from neonkit.db._wire.phases import Phase, Sending, needs_begin

LEVELS: tuple[IsolationLevel | None, ...] = (
    None,
    "READ COMMITTED",
    "REPEATABLE READ",
    "SERIALIZABLE",
    "AUTOCOMMIT",
)
WITHOUT_BEGIN = {
    *product(Sending, [Phase.OPEN, Phase.CONNECTING], LEVELS, [True, False]),
    *product(Sending, Phase, ["AUTOCOMMIT"], [True, False]),
    *product([Sending.LONE], Phase, LEVELS, [True, False]),
    (Sending.PLAIN, Phase.DEFERRED, None, True),
}


@pytest.mark.parametrize(
    ("sending", "phase", "isolation", "has_read_committed"),
    list(product(Sending, Phase, LEVELS, [True, False])),
)
def test_begin_goes_out_unless_nobody_could_tell(
    sending: Sending, phase: Phase, isolation: IsolationLevel | None, has_read_committed: bool
) -> None:
    """Without it go deferred plain reads under READ COMMITTED, and what commits as itself."""
    needs = needs_begin(sending, phase, isolation, has_read_committed=has_read_committed)

    assert needs is ((sending, phase, isolation, has_read_committed) not in WITHOUT_BEGIN)
