"""Users of the starter, signed in."""

from dataclasses import dataclass
from itertools import count

import httpx2
from sqlalchemy import update
from sqlmodel import col

from neonkit import Database
from neonkit_starter.users.models import Role, User

API = "/api/v1"
PASSWORD = "analytical engines run on steam"
_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """Somebody with a token.

    Attributes:
        id: the user's.
        headers: sign their requests.
    """

    id: int
    headers: dict[str, str]

    def keyed(self, key: str) -> dict[str, str]:
        """The headers with an idempotency key."""
        return {**self.headers, "Idempotency-Key": key}


async def register(client: httpx2.AsyncClient) -> Person:
    """Make a user of a name that nobody has, and sign in."""
    name = f"person-{next(_numbers)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    made = await client.post(f"{API}/users", json=body)
    assert made.status_code == 201, made.text
    form = {"username": name, "password": PASSWORD}
    token = (await client.post(f"{API}/auth/token", data=form)).json()["access_token"]
    return Person(made.json()["id"], {"Authorization": f"Bearer {token}"})


async def appoint(db: Database, person: Person, role: Role) -> Person:
    """Give somebody a role."""
    async with db.session() as session:
        await session.exec(update(User).where(col(User.id) == person.id).values(role=role))
        await session.commit()
    return person
