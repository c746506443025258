"""Sign-ins: begun by a password, renewed by refresh tokens, ended by a logout.

To begin one writes nothing. A row is made when it is first renewed or ended, so that a login costs
what the look at its user costs; and a statement asks for what has ended, which is little.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Insert,
    Integer,
    LargeBinary,
    ScalarSelect,
    Select,
    String,
    and_,
    bindparam,
    case,
    column,
    func,
    literal,
    null,
    or_,
    select,
    table,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from neonkit.auth._principals import Principal, SignIn, role_name
from neonkit.auth._refresh_tokens import RefreshToken, read_refresh_token, write_refresh_token
from neonkit.auth._security_log import log_security_event
from neonkit.auth._tokens import TokenPolicy, signed_access_token
from neonkit.db import Database
from neonkit.errors import InvalidTokenError

FindPrincipal = Callable[[str], Select[*tuple[Any, ...]]]
"""From a token's subject to a `Select` of id, role and whether the user is active."""

_SIGN_INS: Final = table(
    "sign_ins",
    column("id", LargeBinary),
    column("generation", Integer),
    column("renewed_at", DateTime(timezone=True)),
    column("ended_at", DateTime(timezone=True)),
    column("expires_at", DateTime(timezone=True)),
    schema="neonkit",
)
_EPOCHS: Final = table(
    "sign_in_epochs",
    column("subject", String),
    column("number", Integer),
    column("kept", LargeBinary),
    schema="neonkit",
)
_PURGE: Final = (
    text(
        "DELETE FROM neonkit.sign_ins WHERE ctid IN (SELECT ctid FROM neonkit.sign_ins"
        " WHERE expires_at <= now() LIMIT 10 FOR UPDATE SKIP LOCKED)"
    )
    .columns(column("nothing"))
    .cte("neonkit_purged")
)
_ID, _EPOCH, _SUBJECT = "neonkit_sign_in", "neonkit_epoch", "neonkit_subject"
_id = bindparam(_ID, type_=LargeBinary)

_IS_ALIVE: Final[ColumnElement[bool]] = and_(
    ~select(_SIGN_INS.c.id)
    .where(_SIGN_INS.c.id == _id, _SIGN_INS.c.ended_at.is_not(None))
    .correlate(None)
    .exists(),
    ~select(_EPOCHS.c.number)
    .where(
        _EPOCHS.c.subject == bindparam(_SUBJECT, type_=String),
        _EPOCHS.c.number != bindparam(_EPOCH, type_=Integer),
        _EPOCHS.c.kept.is_distinct_from(_id),
    )
    .correlate(None)
    .exists(),
)


def is_alive() -> ColumnElement[bool]:
    """True while a sign-in has not ended; its parameters are those of `alive_values`."""
    return _IS_ALIVE


def alive_values(subject: str, sign_in: SignIn) -> dict[str, Any]:
    """The parameters of `is_alive`."""
    return {_ID: sign_in.id, _EPOCH: sign_in.epoch, _SUBJECT: subject}


def sign_in_epoch(subject: ColumnElement[str]) -> ScalarSelect[int]:
    """How often somebody has ended all of their sign-ins: a column beside their password's hash.

    A sign-in that begins with the number read there ends with the password that it was checked
    against, however the two requests overlap.

    Args:
        subject: a column that is the subject of their tokens.
    """
    number = select(_EPOCHS.c.number).where(_EPOCHS.c.subject == subject)
    epoch: ScalarSelect[int] = select(
        func.coalesce(number.correlate_except(_EPOCHS).scalar_subquery(), 0)
    ).scalar_subquery()
    return epoch


def ending_sign_ins(
    owners: FromClause, subject: ColumnElement[str], kept: SignIn | None = None
) -> Insert:
    """End all sign-ins of somebody: a step for a statement, as `select(…).add_cte(step.cte())`.

    Args:
        owners: whose they are: rows, such as those of an UPDATE … RETURNING as a CTE.
        subject: the column of these rows that is the subject of their tokens.
        kept: goes on, such as the one that changes the password.
    """
    keeps = literal(kept.id, LargeBinary) if kept else null()
    rows = select(subject, literal(1), keeps).select_from(owners)
    ended = insert(_EPOCHS).from_select(["subject", "number", "kept"], rows)
    return ended.on_conflict_do_update(
        index_elements=["subject"],
        set_={"number": _EPOCHS.c.number + 1, "kept": ended.excluded.kept},
    )


@dataclass(frozen=True)
class TokenPair:
    """What a client holds.

    Attributes:
        access_token: to call with.
        refresh_token: to get the next pair with, once.
        expires_in: seconds that the access token holds.
    """

    access_token: str
    refresh_token: str
    expires_in: int


class SignIns:
    """The sign-ins of an app's users.

    Args:
        database: has the toolkit's tables.
        tokens: how tokens are made and read.
        find: says who somebody is.
    """

    def __init__(self, database: Database, tokens: TokenPolicy, find: FindPrincipal) -> None:
        self._database = database
        self._tokens = tokens
        self._find = find

    def begin(self, subject: str, principal: Principal, epoch: int = 0) -> TokenPair:
        """Begin one, for somebody whose password was right.

        Args:
            subject: of their tokens.
            principal: who they are.
            epoch: `sign_in_epoch`, read together with what their password was checked against.
        """
        now = datetime.now(UTC)
        expires_at = int(now.timestamp()) + self._tokens.refresh_lifetime
        return self._pair(RefreshToken.first(subject, epoch, expires_at), principal, now)

    async def renew(self, token: str) -> TokenPair:
        """Give the next pair for a refresh token; it works once.

        Within the grace, the token before the newest gives the newest pair again, for a client
        that lost the answer, and for those that asked at once. Any older one was copied by
        somebody: its sign-in ends, for the thief and for the owner.

        Raises:
            InvalidTokenError: it was not made here, has expired or was used before, its sign-in has
                ended, or its owner is gone or not active (401).
        """
        given = read_refresh_token(self._tokens, token)
        now = datetime.now(UTC)
        done = await self._database.execute(
            self._renewal(given, now), parameters=alive_values(given.subject, given.sign_in)
        )
        row = done.one_or_none()
        if row is None:
            raise InvalidTokenError
        if row.ended_at is not None:
            if row.ended_at == now:
                log_security_event("refresh-token-reused", subject=given.subject)
            raise InvalidTokenError
        ends = int(row.renewed_at.timestamp()) + self._tokens.refresh_lifetime
        principal = Principal(row.who, role_name(row.role))
        return self._pair(given.renewed(row.generation, ends), principal, row.renewed_at)

    async def end(self, token: str) -> None:
        """End the sign-in that a refresh token belongs to; one that has ended stays so.

        Raises:
            InvalidTokenError: it was not made here, or it has expired (401).
        """
        given = read_refresh_token(self._tokens, token)
        now = datetime.now(UTC)
        new = insert(_SIGN_INS).values(
            id=given.sign_in.id,
            generation=given.generation,
            renewed_at=now,
            ended_at=now,
            expires_at=self._until(now),
        )
        ended = new.on_conflict_do_update(
            index_elements=["id"],
            set_={"ended_at": func.coalesce(_SIGN_INS.c.ended_at, new.excluded.ended_at)},
        )
        await self._database.execute(ended.returning(_SIGN_INS.c.id).add_cte(_PURGE))

    def _pair(self, token: RefreshToken, principal: Principal, at: datetime) -> TokenPair:
        who = replace(principal, sign_in=token.sign_in)
        serial = token.serial(self._tokens)
        access = signed_access_token(self._tokens, token.subject, who, int(at.timestamp()), serial)
        return TokenPair(access, write_refresh_token(self._tokens, token), self._tokens.lifetime)

    def _until(self, now: datetime) -> datetime:
        """When no token of a sign-in that is renewed now holds any more."""
        longest = max(self._tokens.refresh_lifetime, self._tokens.lifetime)
        return now + timedelta(seconds=longest + 60)

    def _renewal(self, given: RefreshToken, now: datetime) -> Select[*tuple[Any, ...]]:
        """Take a step of a sign-in whose owner is active, and tell where it stands."""
        owner = self._find(given.subject).subquery("neonkit_owner")
        who, role, is_active = owner.c
        row: dict[str, ColumnElement[Any]] = {
            "id": literal(given.sign_in.id, LargeBinary),
            "generation": literal(given.generation + 1),
            "renewed_at": literal(now, DateTime(timezone=True)),
            "expires_at": literal(self._until(now), DateTime(timezone=True)),
        }
        source = select(*row.values()).select_from(owner).where(is_active, _IS_ALIVE)
        grace = timedelta(seconds=self._tokens.refresh_grace)
        renewed = _stepping(insert(_SIGN_INS).from_select(list(row), source), now - grace)
        step = renewed.cte("neonkit_renewed")
        found = select(who.label("who"), role.label("role"), *step.c)
        return found.select_from(owner.join(step, true())).add_cte(_PURGE)


def _stepping(new: PostgresInsert, since: datetime) -> ReturningInsert[int, datetime, datetime]:
    """Where the sign-in has a row already, decide by the generation that is asked for.

    The newest gives the next. The one before it, renewed since then, changes nothing. An older one
    ends the sign-in, and so does one that the database has not heard of.
    """
    old, asked = _SIGN_INS.c, new.excluded
    has_ended = old.ended_at.is_not(None)
    is_next = and_(~has_ended, old.generation == asked.generation - 1)
    is_again = and_(old.generation == asked.generation, old.renewed_at >= since)
    changes = {
        name: case((is_next, asked[name]), else_=old[name])
        for name in ("generation", "renewed_at", "expires_at")
    }
    ended_at = case((or_(has_ended, is_next, is_again), old.ended_at), else_=asked.renewed_at)
    changing = new.on_conflict_do_update(
        index_elements=["id"], set_={**changes, "ended_at": ended_at}
    )
    return changing.returning(old.generation, old.renewed_at, old.ended_at)
