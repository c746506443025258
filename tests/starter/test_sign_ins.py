"""Sign-ins: begun by a password, renewed by refresh tokens, ended by a logout."""

import asyncio
import base64
import logging
import re
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from neonkit import Database
from neonkit_starter.users.models import User
from starter.conftest import Call, Cast, pointers_of, slug_of

PASSWORD = "analytical engines run on steam"
OTHER = "difference engines run on gears"
GRACE = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}

Pair = dict[str, Any]


def bearer(pair: Pair) -> dict[str, str]:
    """Call by a pair's access token."""
    return {"Authorization": f"Bearer {pair['access_token']}"}


async def sign_in(call: Call, password: str = PASSWORD) -> Pair:
    """A new sign-in of grace's."""
    answer = await call("POST /auth/token", data={"username": "grace", "password": password})
    assert answer.status_code == 200, answer.text
    pair: Pair = answer.json()
    return pair


async def renew(call: Call, pair: Pair) -> httpx2.Response:
    """Send a pair's refresh token."""
    return await call("POST /auth/refresh", json={"refresh_token": pair["refresh_token"]})


async def is_signed_in(call: Call, pair: Pair) -> bool:
    """True if a pair's access token is taken."""
    answer = await call("GET /users/me", headers=bearer(pair))
    assert answer.is_success or (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    return answer.is_success


@pytest.fixture
async def grace(call: Call) -> int:
    """The id of a user with a password."""
    made: int = (await call("POST /users", json=GRACE)).json()["id"]
    return made


async def pass_grace(db: Database) -> None:
    """Let the time of the grace go by."""
    async with db.session() as session:
        past = "UPDATE neonkit.sign_ins SET renewed_at = renewed_at - interval '11 seconds'"
        await (await session.connection()).execute(text(past))
        await session.commit()


@pytest.mark.usefixtures("grace")
async def test_a_refresh_token_gives_the_next_pair(call: Call) -> None:
    """Both are new, both work, and no cache keeps them."""
    first = await sign_in(call)
    answer = await renew(call, first)
    second = answer.json()

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert second.keys() == first.keys()
    assert (second["token_type"], second["expires_in"]) == ("bearer", 900)
    assert not {first["access_token"], first["refresh_token"]} & set(second.values())
    assert await is_signed_in(call, first)
    assert await is_signed_in(call, second)
    assert (await renew(call, second)).status_code == 200


@pytest.mark.usefixtures("grace")
async def test_twenty_at_once_share_one_pair(call: Call) -> None:
    """One sign-in, one newest token, whoever was first."""
    first = await sign_in(call)
    answers = await asyncio.gather(*(renew(call, first) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert (await renew(call, answers[0].json())).status_code == 200


@pytest.mark.usefixtures("grace")
async def test_reuse_after_the_grace_ends_the_sign_in(
    call: Call, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """401 for the copy, and for its successors, access tokens included; the log says so, once."""
    first = await sign_in(call)
    second = (await renew(call, first)).json()
    await pass_grace(db)
    with caplog.at_level(logging.WARNING, "neonkit.security"):
        refused = [await renew(call, pair) for pair in (first, second, first)]

    for answer in refused:
        assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    assert not await is_signed_in(call, first)
    assert not await is_signed_in(call, second)
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["refresh-token-reused"]
    assert second["refresh_token"] not in caplog.text


@pytest.mark.usefixtures("grace")
async def test_one_whose_successor_was_used_has_no_grace(call: Call) -> None:
    """The token before the one before the newest: 401, and all of them end."""
    first = await sign_in(call)
    second = (await renew(call, first)).json()
    third = (await renew(call, second)).json()

    assert (await renew(call, first)).status_code == 401
    assert (await renew(call, third)).status_code == 401
    assert not await is_signed_in(call, third)


@pytest.mark.usefixtures("grace")
async def test_a_logout_ends_one_sign_in(call: Call) -> None:
    """204, by whichever of its refresh tokens, and again; others go on."""
    gone, other = await sign_in(call), await sign_in(call)
    newest = (await renew(call, gone)).json()
    for _ in range(2):
        answer = await call("POST /auth/logout", json={"refresh_token": gone["refresh_token"]})
        assert (answer.status_code, answer.content) == (204, b"")

    for pair in (gone, newest):
        assert not await is_signed_in(call, pair)
        assert (await renew(call, pair)).status_code == 401
    assert await is_signed_in(call, other)
    assert (await renew(call, other)).status_code == 200


@pytest.mark.usefixtures("grace")
async def test_nothing_is_done_after_a_logout(call: Call) -> None:
    """A write by a token of a sign-in that has ended is refused inside of its own statement."""
    pair = await sign_in(call)
    await call("POST /auth/logout", json={"refresh_token": pair["refresh_token"]})
    post = {"title": "Late", "content": "Too late"}
    answer = await call("POST /posts", json=post, headers=bearer(pair))

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    assert (await call("GET /posts?q=Late")).json()["items"] == []


@pytest.mark.usefixtures("grace")
async def test_another_password_ends_the_other_sign_ins(call: Call) -> None:
    """The one that changed it goes on, through a second change too; the old password is wrong."""
    mine, other = await sign_in(call), await sign_in(call)
    change = {"current_password": PASSWORD, "new_password": OTHER}
    answer = await call("POST /auth/password", json=change, headers=bearer(mine))

    assert (answer.status_code, answer.content) == (204, b"")
    assert await is_signed_in(call, mine)
    mine = (await renew(call, mine)).json()
    assert not await is_signed_in(call, other)
    assert (await renew(call, other)).status_code == 401
    old = await call("POST /auth/token", data={"username": "grace", "password": PASSWORD})
    assert old.status_code == 401
    later = await sign_in(call, OTHER)
    back = {"current_password": OTHER, "new_password": PASSWORD}
    assert (await call("POST /auth/password", json=back, headers=bearer(mine))).status_code == 204
    assert [await is_signed_in(call, pair) for pair in (mine, later)] == [True, False]


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"current_password": OTHER, "new_password": OTHER}, 401, "invalid-credentials"),
        ({"current_password": PASSWORD, "new_password": "aaaabbbbccccdddd"}, 422, "weak-password"),
        ({"current_password": PASSWORD, "new_password": "grace@example.com"}, 422, "weak-password"),
        ({"current_password": PASSWORD, "new_password": "short"}, 422, "validation-error"),
        ({"current_password": PASSWORD}, 422, "validation-error"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("grace")
async def test_a_change_of_password_that_is_refused(
    call: Call, change: dict[str, str], status: int, slug: str
) -> None:
    """Nothing ends, and the password is what it was."""
    mine, other = await sign_in(call), await sign_in(call)
    answer = await call("POST /auth/password", json=change, headers=bearer(mine))

    assert (answer.status_code, slug_of(answer)) == (status, slug)
    if status == 422:
        assert pointers_of(answer) == ["/body/new_password"]
    assert await is_signed_in(call, other)
    assert await sign_in(call)


async def test_whoever_is_switched_off_gets_no_more_tokens(call: Call, grace: int) -> None:
    """401 for the refresh token, too."""
    pair = await sign_in(call)
    await call(f"PATCH /users/{grace}", "admin", json={"is_active": False})
    answer = await renew(call, pair)

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")


async def test_a_renewed_token_has_the_role_of_today(call: Call, grace: int) -> None:
    """Who has got another role need not sign in again."""
    pair = await sign_in(call)
    await call(f"PATCH /users/{grace}", "admin", json={"role": "moderator"})

    assert not await is_signed_in(call, pair)
    renewed = (await renew(call, pair)).json()
    assert (await call("GET /users", headers=bearer(renewed))).status_code == 200


@pytest.mark.parametrize("route", ["POST /auth/refresh", "POST /auth/logout"])
@pytest.mark.parametrize("change", ["access", "padded", "cut", "flipped", "doubled", "word"])
@pytest.mark.usefixtures("grace")
async def test_what_is_no_refresh_token(call: Call, route: str, change: str) -> None:
    """401, whatever it is; and a refresh token is no access token."""
    pair = await sign_in(call)
    token = pair["refresh_token"]
    flipped = re.sub(r"^.", lambda found: "B" if found[0] == "A" else "A", token)
    sent = {
        "access": pair["access_token"],
        "padded": token + "=",
        "cut": token[:-2],
        "flipped": flipped,
        "doubled": token + token,
        "word": "word",
    }[change]
    answer = await call(route, json={"refresh_token": sent})

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    assert not await is_signed_in(call, {"access_token": token})
    assert await is_signed_in(call, pair)


@pytest.mark.usefixtures("grace")
async def test_nothing_at_rest_lets_anybody_in(call: Call, db: Database) -> None:
    """The table holds neither a token nor a part of one."""
    pair = (await renew(call, await sign_in(call))).json()
    async with db.read_session() as session:
        rows = await (await session.connection()).execute(text("SELECT * FROM neonkit.sign_ins"))
        kept = [value for row in rows for value in row if isinstance(value, bytes)]

    token = pair["refresh_token"]
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert len(kept) == 1
    assert kept[0] not in data
    assert data[:16] not in kept[0]


@pytest.mark.usefixtures("grace")
async def test_what_has_expired_is_dropped(call: Call, db: Database) -> None:
    """Each renewal drops a few rows of sign-ins whose tokens hold no more."""
    async with db.session() as session:
        old = """
            INSERT INTO neonkit.sign_ins (id, generation, renewed_at, expires_at)
            SELECT decode(md5(n::text), 'hex'), 1, now(), now() FROM generate_series(1, 12) n
        """
        await (await session.connection()).execute(text(old))
        await session.commit()
    await renew(call, await sign_in(call))
    await renew(call, await sign_in(call))
    async with db.read_session() as session:
        count = text("SELECT count(*) FROM neonkit.sign_ins")
        assert (await (await session.connection()).execute(count)).scalar_one() == 2


@pytest.mark.parametrize("who", ["ada", "admin"])
async def test_forgetting_who_somebody_is(call: Call, cast: Cast, db: Database, who: str) -> None:
    """204: name, address and password are gone, posts stay, and nobody signs in any more."""
    answer = await call("POST /users/{ada}/anonymize", who)
    shown = (await call("GET /users/{ada}", "admin")).json()

    assert (answer.status_code, answer.content) == (204, b"")
    assert (shown["username"], shown["is_active"]) == (f"anonymous~{cast.ada.id}", False)
    assert "ada" not in str(shown)
    assert (await call("GET /posts/{post}")).json()["author_id"] == cast.ada.id
    assert (await call("GET /users/me", "ada")).status_code == 401
    async with db.session() as session:
        user = await session.get(User, cast.ada.id)
        assert user is not None
        assert user.hashed_password == "-"
    assert (await call("POST /users", json={**GRACE, "username": "ada"})).status_code == 201


async def test_who_cannot_be_forgotten(call: Call) -> None:
    """A stranger's: 404 as a missing one; 409 has-dependents while an account is open."""
    account = (await call("POST /accounts", "ada", json={})).json()
    refused = [
        (await call("POST /users/{ada}/anonymize"), 401, "unauthorized"),
        (await call("POST /users/{ada}/anonymize", "bob"), 404, "not-found"),
        (await call("POST /users/{ada}/anonymize", "moderator"), 404, "not-found"),
        (await call("POST /users/{missing}/anonymize", "admin"), 404, "not-found"),
        (await call("POST /users/{ada}/anonymize", "ada"), 409, "has-dependents"),
    ]
    for answer, status, slug in refused:
        assert (answer.status_code, slug_of(answer)) == (status, slug)
    assert (await call("GET /users/me", "ada")).json()["username"] == "ada"
    await call(f"POST /accounts/{account['id']}/close", "ada")
    assert (await call("POST /users/{ada}/anonymize", "ada")).status_code == 204
    kept = await call(f"GET /accounts/{account['id']}", "admin")
    assert kept.json()["status"] == "closed"


@pytest.mark.usefixtures("grace")
async def test_a_login_writes_nothing(call: Call, db: Database) -> None:
    """It costs what the look at its user costs: a sign-in has no row before it is renewed."""
    await sign_in(call)

    async with db.read_session() as session:
        count = text("SELECT count(*) FROM neonkit.sign_ins")
        assert (await (await session.connection()).execute(count)).scalar_one() == 0
