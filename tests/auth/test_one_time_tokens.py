"""One-time tokens, as a password's reset uses them."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import String, cast, select, text, update
from sqlmodel import Field, col

from neonkit import Database, TableModel
from neonkit.auth import OneTimeTokens, ending_sign_ins
from neonkit.db import AsyncSession
from neonkit.errors import InvalidTokenError

_Sent = list[tuple[str, str]]


class ForgetfulMember(TableModel, table=True):
    """Somebody who forgets passwords."""

    id: int | None = Field(default=None, primary_key=True)
    hashed_password: str


def resets(db: Database, sent: _Sent, seconds: float = 60) -> OneTimeTokens:
    """Tokens for resets, and the one hook that sends them."""

    async def send(subject: str, token: str) -> None:
        sent.append((subject, token))

    return OneTimeTokens(db, "password-reset", seconds, send)


async def reset(db: Database, tokens: OneTimeTokens, token: str, hashed: str) -> int:
    """What an app's route does: token, password and the end of all sign-ins, in one transaction."""

    async def work(session: AsyncSession) -> int:
        subject = await tokens.take(token, session)
        this = col(ForgetfulMember.id) == int(subject)
        change = update(ForgetfulMember).where(this).values(hashed_password=hashed)
        subject_of = cast(col(ForgetfulMember.id), String).label("subject")
        changed = change.returning(subject_of).cte("changed")
        ended = ending_sign_ins(changed, changed.c.subject)
        connection = await session.connection()
        await connection.execute(select(changed.c.subject).add_cte(ended.cte("ended")))
        return int(subject)

    return await db.run_transaction(work)


async def _member(db: Database) -> int:
    async with db.session() as session:
        member = ForgetfulMember(hashed_password="old")
        session.add(member)
        await session.commit()
        return member.id or 0


async def _all(db: Database, sql: str) -> list[tuple[Any, ...]]:
    async with db.read_session() as session:
        return [tuple(row) for row in await (await session.connection()).execute(text(sql))]


@pytest.mark.both_drivers
async def test_a_password_is_reset_by_a_token_that_was_sent(db: Database) -> None:
    """Once; the sign-ins of the old one end with it."""
    sent: _Sent = []
    tokens, member = resets(db, sent), await _member(db)
    await tokens.give(str(member))
    ((subject, token),) = sent

    assert (int(subject), await reset(db, tokens, token, "new")) == (member, member)
    with pytest.raises(InvalidTokenError):
        await reset(db, tokens, token, "again")
    assert await _all(db, "SELECT hashed_password FROM forgetfulmember") == [("new",)]
    assert await _all(db, "SELECT subject, number FROM neonkit.sign_in_epochs") == [(subject, 1)]


async def test_what_is_not_taken(db: Database) -> None:
    """Another purpose's, an expired one, one that was replaced, and any other text."""
    sent: _Sent = []
    tokens, member = resets(db, sent), await _member(db)
    await tokens.give(str(member))
    await tokens.give(str(member))
    await resets(db, sent, seconds=-1).give("9")
    replaced, newest, expired = (token for _, token in sent)
    verifying = OneTimeTokens(db, "verify-email", 60, lambda *_: asyncio.sleep(0))

    for token in (replaced, expired, "", "x" * 10_000, "\0", newest[:-1], newest + "="):
        with pytest.raises(InvalidTokenError):
            await reset(db, tokens, token, "new")
    with pytest.raises(InvalidTokenError):
        await reset(db, verifying, newest, "new")
    assert await _all(db, "SELECT hashed_password FROM forgetfulmember") == [("old",)]
    assert await reset(db, tokens, newest, "new") == member


async def test_a_reset_that_fails_spends_no_token(db: Database) -> None:
    """Both are done, or neither."""
    sent: _Sent = []
    tokens, member = resets(db, sent), await _member(db)
    await tokens.give(str(member))
    token = sent[0][1]

    async def fail(session: AsyncSession) -> None:
        await tokens.take(token, session)
        raise RuntimeError("the mailbox is full")

    with pytest.raises(RuntimeError, match="mailbox"):
        await db.run_transaction(fail)
    assert await reset(db, tokens, token, "new") == member


async def test_no_token_is_at_rest(db: Database) -> None:
    """A digest, of a token that nobody can guess."""
    sent: _Sent = []
    await resets(db, sent).give("7")
    token = sent[0][1]
    kept = str(await _all(db, "SELECT * FROM neonkit.one_time_tokens"))

    assert len(token) >= 43
    assert token not in kept
    assert token.encode().hex() not in kept
