"""Tokens for names and passwords, and the first administrator."""

import logging

import httpx2
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, update
from sqlmodel import col, select

from neonkit import Database
from neonkit.errors import ConfigurationError
from neonkit_starter.app import create_app
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.first_admin import create_first_admin, first_admin_of
from neonkit_starter.users.models import Role, User
from starter.conftest import Call, slug_of

PASSWORD = "analytical engines run on steam"
GRACE = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}


async def test_name_and_password_become_a_token(call: Call) -> None:
    """POST /auth/token: the OAuth2 form; the name in any case; the token signs its owner in."""
    made = (await call("POST /users", json=GRACE)).json()
    answer = await call("POST /auth/token", data={"username": "GRACE", "password": PASSWORD})

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    me = await call("GET /users/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert me.json() == made


@pytest.mark.parametrize(
    "form",
    [
        {"username": "grace", "password": PASSWORD + "!"},
        {"username": "grace", "password": PASSWORD.upper()},
        {"username": "grace", "password": PASSWORD[:-1]},
        {"username": "grace@example.com", "password": PASSWORD},
        {"username": "nobody", "password": PASSWORD},
        {"username": "x" * 5000, "password": PASSWORD},
        {"username": "grace\x00", "password": PASSWORD},
    ],
    ids=lambda form: form["username"][:20],
)
async def test_what_does_not_match_is_refused_alike(call: Call, form: dict[str, str]) -> None:
    """A wrong password, an unknown name and the e-mail get one and the same answer."""
    await call("POST /users", json=GRACE)
    answer = await call("POST /auth/token", data=form)

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-credentials")
    assert answer.json()["detail"] == "The username or the password is wrong."
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_who_is_switched_off_cannot_sign_in(call: Call) -> None:
    """The same answer as for a wrong password."""
    made = (await call("POST /users", json=GRACE)).json()
    await call(f"PATCH /users/{made['id']}", "admin", json={"is_active": False})
    answer = await call("POST /auth/token", data={"username": "grace", "password": PASSWORD})

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-credentials")


async def test_passwords_are_compared_whole(call: Call) -> None:
    """Two that are equal in their first 72 bytes are two."""
    long = "0123456789abcdefghijklmnopqrstuvwxyz" * 2
    await call("POST /users", json={**GRACE, "password": long + "tail one"})
    other = await call(
        "POST /auth/token", data={"username": "grace", "password": long + "tail two"}
    )
    right = await call(
        "POST /auth/token", data={"username": "grace", "password": long + "tail one"}
    )

    assert (other.status_code, right.status_code) == (401, 200)


async def test_an_old_hash_is_made_anew(call: Call, db: Database) -> None:
    """At the first login, which shows the password; the second finds nothing to do."""
    await call("POST /users", json=GRACE)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with db.session() as session:
        await session.exec(
            update(User).where(col(User.username) == "grace").values(hashed_password=old)
        )
        await session.commit()
    kept = []
    for _ in range(2):
        answer = await call("POST /auth/token", data={"username": "grace", "password": PASSWORD})
        assert answer.status_code == 200
        async with db.read_session() as session:
            found = select(User.hashed_password).where(col(User.username) == "grace")
            kept.append((await session.exec(found)).one())

    assert kept[0] == kept[1] != old


@pytest.mark.parametrize("form", [{}, {"username": "grace"}, {"password": PASSWORD}], ids=str)
async def test_a_form_that_lacks_a_field(call: Call, form: dict[str, str]) -> None:
    """422, with the fields."""
    answer = await call("POST /auth/token", data=form)

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")


def _settings(**values: str) -> StarterSettings:
    admin = {
        "first_admin_username": "root",
        "first_admin_email": "root@example.com",
        "first_admin_password": PASSWORD,
    }
    return StarterSettings.model_validate({"environment": "test", **admin, **values})


async def _admins(db: Database) -> int:
    async with db.read_session() as session:
        found = select(func.count(col(User.id))).where(col(User.role) == Role.ADMIN)
        return (await session.exec(found)).one()


async def test_the_first_administrator_is_made_once(db: Database) -> None:
    """By the first start that finds none; later starts change nothing."""
    admin = first_admin_of(_settings())
    assert admin is not None

    await create_first_admin(db, admin)
    await create_first_admin(db, admin)

    assert await _admins(db) == 1


async def test_an_administrator_whose_name_is_taken_is_not_made(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The start goes on, and the log says what to do."""
    admin = first_admin_of(_settings())
    assert admin is not None
    async with db.session() as session:
        session.add(User(username="ROOT", email="else@example.com", hashed_password="-"))
        await session.commit()

    with caplog.at_level(logging.ERROR):
        await create_first_admin(db, admin)

    assert await _admins(db) == 0
    assert "FIRST_ADMIN_USERNAME or FIRST_ADMIN_EMAIL is another user's" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_admin_username", "no spaces please"),
        ("first_admin_email", "nowhere"),
        ("first_admin_password", "too short"),
        ("first_admin_password", "aaaaaaaaaaaaaaaaaaaa"),
    ],
)
def test_an_administrator_that_breaks_a_rule_stops_the_start(name: str, value: str) -> None:
    """The variable is named, and its value is not."""
    with pytest.raises(ConfigurationError, match=name.upper()) as caught:
        create_app(_settings(**{name: value}))

    assert value not in str(caught.value)


async def test_every_status_is_documented(call: Call, client: httpx2.AsyncClient) -> None:
    """What an operation can answer is in its OpenAPI entry, under a readable id."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = {
        operation["operationId"]: set(operation["responses"])
        for path in paths.values()
        for operation in path.values()
    }
    expected = {
        "create_user": {"201", "400", "409", "413", "415", "422"},
        "create_token": {"200", "401", "413", "415", "422"},
        "refresh_token": {"200", "401", "413", "415", "422"},
        "logout": {"204", "401", "413", "415", "422"},
        "change_password": {"204", "401", "413", "415", "422"},
        "anonymize_user": {"204", "400", "401", "404", "409", "422"},
        "read_me": {"200", "401"},
        "update_me": {"200", "400", "401", "409", "413", "415", "422"},
        "delete_me": {"204", "401", "409"},
        "list_users": {"200", "401", "403", "422"},
        "read_user": {"200", "401", "404", "422"},
        "update_user": {"200", "400", "401", "403", "404", "409", "413", "415", "422"},
        "delete_user": {"204", "401", "404", "409", "422"},
        "list_posts_of_user": {"200", "422"},
        "create_post": {"201", "400", "401", "413", "415", "422"},
        "list_posts": {"200", "422"},
        "read_post": {"200", "404", "422"},
        "update_post": {"200", "400", "401", "403", "404", "413", "415", "422"},
        "delete_post": {"204", "401", "403", "404", "422"},
        "create_account": {"201", "400", "401", "409", "413", "415", "422"},
        "list_accounts": {"200", "401", "422"},
        "read_account": {"200", "401", "404", "422"},
        "read_snapshot": {"200", "401", "404", "422"},
        "list_entries": {"200", "401", "404", "422"},
        "close_account": {"200", "400", "401", "403", "404", "409", "422"},
        "create_deposit": {"201", "400", "401", "403", "404", "409", "413", "415", "422"},
        "create_transfer": {"201", "400", "401", "403", "404", "409", "413", "415", "422"},
        "read_transfer": {"200", "401", "404", "422"},
        "read_transfer_by_key": {"200", "401", "404", "422"},
    }

    assert (await call("GET /posts")).status_code == 200
    for name, statuses in expected.items():
        assert statuses | {"500", "503", "504"} <= operations[name], name
