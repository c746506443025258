"""Accounts, deposits and transfers, row by row of the contract."""

from itertools import count
from typing import Any

import pytest
from httpx2 import AsyncClient

from starter.conftest import Call, Cast, pointers_of, slug_of

_keys = (f"key-of-money-{number}" for number in count())
MISSING = 2**31 - 1
POST = {"title": "T", "content": "C"}


def keyed(key: str | None = None) -> dict[str, str]:
    """A header with a key; a new one where none is named."""
    return {"Idempotency-Key": key or next(_keys)}


async def _open(call: Call, who: str, amount: str | None = None, **body: str) -> int:
    account: int = (await call("POST /accounts", who, json=body)).json()["id"]
    if amount:
        path = f"POST /accounts/{account}/deposits"
        done = await call(path, "admin", json={"amount": amount}, headers=keyed())
        assert done.status_code == 201, done.text
    return account


async def _pay(call: Call, who: str, payer: int, payee: int, amount: str = "1.00") -> Any:  # noqa: ANN401  # a response
    body = {"from_account_id": payer, "to_account_id": payee, "amount": amount}
    return await call("POST /transfers", who, json=body, headers=keyed())


@pytest.mark.parametrize(("body", "currency"), [({}, "EUR"), ({"currency": "USD"}, "USD")])
async def test_opening(call: Call, cast: Cast, body: dict[str, str], currency: str) -> None:
    """POST /accounts: 201, Location, empty, the caller's."""
    answer = await call("POST /accounts", "ada", json=body)

    account = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/accounts/{account['id']}"
    assert account == {
        "id": account["id"],
        "owner_id": cast.ada.id,
        "currency": currency,
        "balance": "0.00",
        "version": 0,
        "status": "open",
    }
    assert (await call(f"GET /accounts/{account['id']}", "ada")).json() == account


@pytest.mark.parametrize(
    "body",
    [
        {"currency": "eur"},
        {"currency": "EURO"},
        {"currency": "EU1"},
        {"currency": None},
        {"currency": "EUR\n"},
        {"balance": "5.00"},
        {"owner_id": 1},
        {"version": 3},
    ],
    ids=str,
)
async def test_opening_what_breaks_a_rule(call: Call, body: dict[str, object]) -> None:
    """422 with the field."""
    answer = await call("POST /accounts", "ada", json=body)

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == [f"/body/{next(iter(body))}"]


@pytest.mark.parametrize(
    ("route", "who", "status", "slug"),
    [
        ("POST /accounts", "nobody", 401, "unauthorized"),
        ("GET /accounts", "nobody", 401, "unauthorized"),
        ("GET /accounts/{0}", "nobody", 401, "unauthorized"),
        ("GET /accounts/{0}", "bob", 404, "not-found"),
        ("GET /accounts/{0}", "moderator", 404, "not-found"),
        ("GET /accounts/{1}", "admin", 404, "not-found"),
        ("POST /accounts/{0}/close", "nobody", 401, "unauthorized"),
        ("POST /accounts/{0}/close", "bob", 404, "not-found"),
        ("POST /accounts/{0}/close", "admin", 403, "forbidden"),
        ("POST /accounts/{1}/close", "ada", 404, "not-found"),
        ("POST /accounts/{0}/deposits", "nobody", 401, "unauthorized"),
        ("POST /accounts/{0}/deposits", "ada", 403, "forbidden"),
        ("POST /accounts/{1}/deposits", "ada", 403, "forbidden"),
        ("POST /accounts/{1}/deposits", "moderator", 403, "forbidden"),
        ("POST /accounts/{1}/deposits", "admin", 404, "not-found"),
        ("GET /accounts/snapshot?ids={0}", "nobody", 401, "unauthorized"),
        ("GET /accounts/snapshot?ids={0}", "bob", 404, "not-found"),
        ("GET /accounts/snapshot?ids={0},{1}", "ada", 404, "not-found"),
        ("GET /accounts/{0}/entries", "nobody", 401, "unauthorized"),
        ("GET /accounts/{0}/entries", "bob", 404, "not-found"),
        ("GET /accounts/{1}/entries", "admin", 404, "not-found"),
        ("GET /transfers/{1}", "nobody", 401, "unauthorized"),
        ("GET /transfers/{1}", "admin", 404, "not-found"),
        ("GET /transfers/by-key/none-of-mine", "nobody", 401, "unauthorized"),
        ("GET /transfers/by-key/none-of-mine", "admin", 404, "not-found"),
    ],
)
async def test_whoever_is_left_out_is_told_so(
    call: Call, route: str, who: str, status: int, slug: str
) -> None:
    """The status and slug of the contract; a missing account looks like another's."""
    account = await _open(call, "ada", "5.00")
    body = {"amount": "1.00"} if "deposits" in route else {} if "POST" in route else None
    headers = keyed() if "deposits" in route else {}
    answer = await call(route.format(account, MISSING), who, json=body, headers=headers)

    assert (answer.status_code, slug_of(answer)) == (status, slug)
    assert (await call(f"GET /accounts/{account}", "ada")).json()["balance"] == "5.00"


async def test_lists(call: Call, cast: Cast) -> None:
    """GET /accounts: one's own; an administrator's is everybody's, and can be narrowed."""
    mine, theirs = await _open(call, "ada"), await _open(call, "bob")

    async def listed(who: str, query: str = "") -> list[int]:
        page = (await call(f"GET /accounts{query}", who)).json()
        return [account["id"] for account in page["items"]]

    assert await listed("ada") == [mine]
    assert await listed("ada", f"?owner_id={cast.bob.id}") == []
    assert await listed("moderator") == []
    assert await listed("admin") == [mine, theirs]
    assert await listed("admin", "?sort=-id") == [theirs, mine]
    assert await listed("admin", f"?owner_id={cast.bob.id}") == [theirs]


async def test_depositing_and_the_ledger(call: Call) -> None:
    """A deposit is an entry without a transfer; `after_version` pages on."""
    account = await _open(call, "ada")
    answer = await call(
        f"POST /accounts/{account}/deposits", "admin", json={"amount": "10.00"}, headers=keyed()
    )
    other = await _open(call, "bob", "1.00")
    paid = (await _pay(call, "ada", account, other, "2.50")).json()

    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "account_id", "amount", "created_at"}
    assert (answer.json()["account_id"], answer.json()["amount"]) == (account, "10.00")
    items = (await call(f"GET /accounts/{account}/entries", "ada")).json()["items"]
    assert [
        (entry["version"], entry["transfer_id"], entry["amount"], entry["balance_after"])
        for entry in items
    ] == [(1, None, "10.00", "10.00"), (2, paid["id"], "-2.50", "7.50")]
    assert set(items[0]) == {"version", "transfer_id", "amount", "balance_after", "created_at"}
    later = await call(f"GET /accounts/{account}/entries?after_version=1&total=exact", "admin")
    assert [entry["version"] for entry in later.json()["items"]] == [2]
    assert later.json()["total"] == 1


async def test_a_transfer(call: Call) -> None:
    """POST /transfers: 201, Location; both parties and an administrator read it, nobody else."""
    payer, payee = await _open(call, "ada", "10.00"), await _open(call, "bob")
    answer = await _pay(call, "ada", payer, payee, "10.00")

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/transfers/{body['id']}"
    assert body == {
        "id": body["id"],
        "from_account_id": payer,
        "to_account_id": payee,
        "amount": "10.00",
        "created_at": body["created_at"],
    }
    for who in ("ada", "bob", "admin"):
        assert (await call(f"GET /transfers/{body['id']}", who)).json() == body
    hidden = await call(f"GET /transfers/{body['id']}", "moderator")
    assert (hidden.status_code, slug_of(hidden)) == (404, "not-found")
    snapshot = await call(f"GET /accounts/snapshot?ids={payee},{payer}", "admin")
    assert snapshot.json() == {
        "accounts": [
            {"id": payee, "balance": "10.00", "version": 1},
            {"id": payer, "balance": "0.00", "version": 2},
        ]
    }


AMOUNTS: list[object] = [
    "-50.00", "0.00", "-0.00", "0", "1", "1.0", "1.000", " 7.00 ", "1e1", "\uff11\uff10.00",
    "1_000.00", "01.00", "NaN", "Infinity", "1,00", "", "1.00\n", "9999999999999999.00", 7, 7.0,
    True, None, ["1.00"], {"v": "1.00"}, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda amount: repr(amount)[:24])
async def test_amounts_that_are_none(call: Call, amount: object) -> None:
    """B.2: a string of digits with two after the point, above zero, or 422; nothing moves."""
    payer, payee = await _open(call, "ada", "100.00"), await _open(call, "ada")
    body = {"from_account_id": payer, "to_account_id": payee, "amount": amount}
    transfer = await call("POST /transfers", "ada", json=body, headers=keyed())
    path = f"POST /accounts/{payer}/deposits"
    deposit = await call(path, "admin", json={"amount": amount}, headers=keyed())

    for answer in (transfer, deposit):
        assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
        assert pointers_of(answer) == ["/body/amount"]
    assert (await call(f"GET /accounts/{payer}", "ada")).json()["balance"] == "100.00"


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity"])
async def test_amounts_that_are_not_json(call: Call, amount: str) -> None:
    """B.2: 400 malformed-json."""
    content = f'{{"from_account_id": 1, "to_account_id": 2, "amount": {amount}}}'
    headers = {**keyed(), "Content-Type": "application/json"}
    answer = await call("POST /transfers", "ada", content=content, headers=headers)

    assert (answer.status_code, slug_of(answer)) == (400, "malformed-json")


async def test_refusals_in_their_order(call: Call) -> None:
    """Each business refusal has its status and slug, and moves nothing."""
    payer, payee = await _open(call, "ada", "5.00"), await _open(call, "bob")
    dollars, full = await _open(call, "bob", currency="USD"), await _open(call, "bob")
    await call(
        f"POST /accounts/{full}/deposits",
        "admin",
        json={"amount": "999999999999999.99"},
        headers=keyed(),
    )
    closed = await _open(call, "ada")
    assert (await call(f"POST /accounts/{closed}/close", "ada")).status_code == 200

    for who, source, target, amount, status, slug in (
        ("ada", payer, payer, "1.00", 422, "same-account"),
        ("ada", payer, MISSING, "1.00", 404, "not-found"),
        ("ada", MISSING, payee, "1.00", 404, "not-found"),
        ("bob", payer, payee, "1.00", 404, "not-found"),
        ("admin", payer, payee, "1.00", 403, "forbidden"),
        ("ada", payer, closed, "1.00", 409, "account-closed"),
        ("ada", closed, payee, "1.00", 409, "account-closed"),
        ("ada", payer, full, "1.00", 409, "balance-limit"),
        ("ada", payer, payee, "5.01", 400, "insufficient-funds"),
        ("ada", payer, dollars, "5.01", 400, "insufficient-funds"),
        ("ada", payer, dollars, "1.00", 422, "currency-mismatch"),
    ):
        answer = await _pay(call, who, source, target, amount)
        assert (answer.status_code, slug_of(answer)) == (status, slug), (source, target, amount)
    for path, slug in ((closed, "account-closed"), (full, "balance-limit")):
        answer = await call(
            f"POST /accounts/{path}/deposits", "admin", json={"amount": "0.01"}, headers=keyed()
        )
        assert (answer.status_code, slug_of(answer)) == (409, slug)
    assert (await call(f"GET /accounts/{payer}", "ada")).json()["version"] == 1


async def test_closing(call: Call) -> None:
    """Only at zero; closing again changes nothing, and the ledger stays readable."""
    account, other = await _open(call, "ada", "5.00"), await _open(call, "ada")
    full = await call(f"POST /accounts/{account}/close", "ada")
    await _pay(call, "ada", account, other, "5.00")
    closed = await call(f"POST /accounts/{account}/close", "ada")
    again = await call(f"POST /accounts/{account}/close", "ada")

    assert (full.status_code, slug_of(full)) == (409, "balance-not-zero")
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    assert (again.status_code, again.json()) == (200, closed.json())
    assert closed.json()["version"] == 2
    assert len((await call(f"GET /accounts/{account}/entries", "ada")).json()["items"]) == 2


async def test_ten_tenths_are_one(call: Call) -> None:
    """B.2: money is not a float."""
    payer, payee = await _open(call, "ada", "1.00"), await _open(call, "ada")
    for _ in range(10):
        assert (await _pay(call, "ada", payer, payee, "0.10")).status_code == 201

    assert (await call(f"GET /accounts/{payee}", "ada")).json()["balance"] == "1.00"


@pytest.mark.parametrize(
    ("ids", "status"),
    [
        ("", 422),
        ("x", 422),
        ("1,", 422),
        ("0", 422),
        ("-1", 422),
        ("2147483648", 422),
        ("1 ,2", 422),
        ("²", 422),
        (",".join(map(str, range(1, 502))), 422),
        ("{0},{0}", 200),
        ("0{0}", 422),
        ("0" * 5000, 422),
        ("9" * 5000, 422),
    ],
)
async def test_snapshots_of_odd_lists(call: Call, ids: str, status: int) -> None:
    """Ids by comma, at most 500; one that is named twice is given once."""
    account = await _open(call, "ada")
    answer = await call(f"GET /accounts/snapshot?ids={ids.format(account)}", "ada")

    assert answer.status_code == status
    if status == 200:
        assert [each["id"] for each in answer.json()["accounts"]] == [account]
    else:
        assert pointers_of(answer) == ["/query/ids"]


async def test_users_with_accounts_stay(call: Call) -> None:
    """409 has-dependents, an empty account included."""
    await _open(call, "bob")
    answer = await call("DELETE /users/me", "bob")

    assert (answer.status_code, slug_of(answer)) == (409, "has-dependents")


@pytest.mark.parametrize(
    "key",
    ["", "1234567", "a" * 256, "tab\tin the key", "schlüssel-mit"],
    ids=repr,
)
async def test_keys_that_cannot_be(call: Call, key: str) -> None:
    """B.8: 400 idempotency-key-invalid, wherever keys are honoured; nothing happens."""
    payer, payee = await _open(call, "ada", "5.00"), await _open(call, "ada")
    body = {"from_account_id": payer, "to_account_id": payee, "amount": "1.00"}
    headers = {"Idempotency-Key": key.encode()}
    for route, sent in (("POST /transfers", body), ("POST /accounts", {})):
        answer = await call(route, "ada", json=sent, headers=headers)
        assert (answer.status_code, slug_of(answer)) == (400, "idempotency-key-invalid")
    assert (await call(f"GET /accounts/{payer}", "ada")).json()["balance"] == "5.00"


async def test_keys_that_are_missing_or_doubled(
    call: Call, client: AsyncClient, cast: Cast
) -> None:
    """B.8: transfers and deposits need one; two are none."""
    account = await _open(call, "ada")
    body = {"from_account_id": account, "to_account_id": account + 1, "amount": "1.00"}
    missing = await call("POST /transfers", "ada", json=body)
    deposit = await call(f"POST /accounts/{account}/deposits", "admin", json={"amount": "1.00"})

    for answer in (missing, deposit):
        assert (answer.status_code, slug_of(answer)) == (400, "idempotency-key-missing")

    twice = [("Idempotency-Key", "one-of-two-keys"), ("Idempotency-Key", "two-of-two-keys")]
    headers = [*cast.ada.headers.items(), *twice]
    doubled = await client.post(cast.path("/transfers"), json=body, headers=headers)
    assert (doubled.status_code, slug_of(doubled)) == (400, "idempotency-key-invalid")


async def test_repeats(call: Call) -> None:
    """B.8: the same bytes whatever the order of keys; another body is 422; refusals are kept."""
    payer, payee = await _open(call, "ada", "5.00"), await _open(call, "ada")
    body = {"from_account_id": payer, "to_account_id": payee, "amount": "2.00"}
    first = await call("POST /transfers", "ada", json=body, headers=keyed("the-very-same"))
    turned = dict(reversed(body.items()))
    again = await call("POST /transfers", "ada", json=turned, headers=keyed("the-very-same"))
    other = await call(
        "POST /transfers", "ada", json={**body, "amount": "1.00"}, headers=keyed("the-very-same")
    )

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert (other.status_code, slug_of(other)) == (422, "idempotency-key-reused")
    by_key = await call("GET /transfers/by-key/the-very-same", "ada")
    assert by_key.content == first.content
    assert (await call("GET /transfers/by-key/the-very-same", "bob")).status_code == 404

    dear = {**body, "amount": "50.00"}
    refused = await call("POST /transfers", "ada", json=dear, headers=keyed("too-dear-for-now"))
    path = f"POST /accounts/{payer}/deposits"
    await call(path, "admin", json={"amount": "99.00"}, headers=keyed())
    kept = await call("POST /transfers", "ada", json=dear, headers=keyed("too-dear-for-now"))
    assert (refused.status_code, slug_of(refused)) == (400, "insufficient-funds")
    assert (kept.status_code, slug_of(kept)) == (400, "insufficient-funds")
    assert kept.headers["idempotent-replayed"] == "true"


async def test_one_key_of_two_callers_is_two(call: Call) -> None:
    """B.8: another user's or path's answer is never given."""
    answers = [
        await call(
            "POST /posts", who, json={"title": "T", "content": "C"}, headers=keyed("shared-key")
        )
        for who in ("ada", "bob", "ada")
    ]
    account = await call("POST /accounts", "ada", json={}, headers=keyed("shared-key"))

    assert len({answer.json()["id"] for answer in answers}) == 2
    assert answers[0].content == answers[2].content
    assert account.json()["currency"] == "EUR"


async def test_registering_under_a_key(call: Call) -> None:
    """One user; a duplicate's 409 is kept as well, a weak password's 422 is not."""
    user = {"username": "grace", "email": "g@example.com", "password": "analytical engines run"}
    first = await call("POST /users", json=user, headers=keyed("register-grace"))
    again = await call("POST /users", json=user, headers=keyed("register-grace"))
    taken = [
        await call("POST /users", json={**user, "email": "h@x.de"}, headers=keyed("taken-by-grace"))
        for _ in range(2)
    ]

    assert (again.status_code, again.content) == (201, first.content)
    assert [(answer.status_code, slug_of(answer)) for answer in taken] == [(409, "duplicate")] * 2
    assert pointers_of(taken[1]) == ["/body/username"]
    assert "idempotent-replayed" in taken[1].headers


@pytest.mark.parametrize(
    "key", ["with/slash/and%25", "100%-of-it", "a key with spaces", "?query=#x"]
)
async def test_by_any_key(call: Call, key: str) -> None:
    """The key in the path is percent-encoded, and any key is found."""
    from urllib.parse import quote

    payer, payee = await _open(call, "ada", "5.00"), await _open(call, "ada")
    body = {"from_account_id": payer, "to_account_id": payee, "amount": "2.00"}
    made = await call("POST /transfers", "ada", json=body, headers={"Idempotency-Key": key})
    found = await call(f"GET /transfers/by-key/{quote(key, safe='')}", "ada")

    assert made.status_code == 201
    assert found.json() == made.json()
