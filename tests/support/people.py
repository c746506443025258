"""Users of the starter, signed in."""

from dataclasses import dataclass
from itertools import count

import httpx2

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
    return await _sign_in(client, made.json()["id"], name)


async def register_as(client: httpx2.AsyncClient, db: Database, role: Role) -> Person:
    """Make a user, give them a role, and sign in with it."""
    person = await register(client)
    async with db.session() as session:
        user = await session.get_one(User, person.id)
        user.role = role
        await session.commit()
        return await _sign_in(client, person.id, user.username)


async def _sign_in(client: httpx2.AsyncClient, person_id: int, name: str) -> Person:
    form = {"username": name, "password": PASSWORD}
    token = (await client.post(f"{API}/auth/token", data=form)).json()["access_token"]
    return Person(person_id, {"Authorization": f"Bearer {token}"})
