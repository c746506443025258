"""One-time tokens: sent to somebody who shows one to prove that the message arrived.

For a password's reset, or to verify an address. The database keeps a digest of the newest one.
"""

import hashlib
from collections.abc import Awaitable, Callable
from secrets import token_urlsafe

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db import Database
from neonkit.errors import InvalidTokenError

_LONGEST = 128
_GIVE = text("""
INSERT INTO neonkit.one_time_tokens (purpose, subject, digest, expires_at)
VALUES (:purpose, :subject, decode(:digest, 'hex'), now() + make_interval(secs => :seconds))
ON CONFLICT (purpose, subject) DO UPDATE
SET digest = excluded.digest, expires_at = excluded.expires_at
""")
_TAKE = text("""
WITH taken AS (
  DELETE FROM neonkit.one_time_tokens
  WHERE purpose = :purpose AND digest = decode(:digest, 'hex')
  RETURNING subject, expires_at
)
SELECT subject FROM taken WHERE expires_at > now()
""")


class OneTimeTokens:
    """Tokens for one purpose.

    Args:
        database: has the toolkit's tables.
        purpose: such as `password-reset`; a token for another one is not taken.
        seconds: that a token holds.
        send: brings a token to whom it is for, such as by e-mail: takes the subject and the token.
    """

    def __init__(
        self,
        database: Database,
        purpose: str,
        seconds: float,
        send: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._purpose = purpose
        self._seconds = seconds
        self._send = send

    async def give(self, subject: str) -> None:
        """Send somebody a token; the one before it is worth nothing from then on.

        Args:
            subject: of whom the token proves that they read what was sent.
        """
        token = token_urlsafe(32)
        values = {**self._named(token), "subject": subject, "seconds": self._seconds}
        async with self._database.session() as session:
            await (await session.connection()).execute(_GIVE, values)
            await session.commit()
        await self._send(subject, token)

    async def take(self, token: str, session: AsyncSession) -> str:
        """Take a token, once, in the transaction of a session that goes on to do what it is for.

        Args:
            token: as it was sent.
            session: commits both, or neither.

        Returns:
            the subject that it was given to.

        Raises:
            InvalidTokenError: it was not given for this, was taken or replaced, or has expired.
        """
        if len(token) > _LONGEST:
            raise InvalidTokenError
        connection = await session.connection()
        found = await connection.execute(_TAKE, self._named(token))
        subject: str | None = found.scalar_one_or_none()
        if subject is None:
            raise InvalidTokenError
        return subject

    def _named(self, token: str) -> dict[str, object]:
        said = token.encode("utf-8", "surrogatepass")
        return {"purpose": self._purpose, "digest": hashlib.sha256(said).hexdigest()}
