"""Money under concurrency, over TCP, on two workers."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path

import asyncpg
import httpx2
import pytest

from cli.conftest import workers_of
from neonkit.local import LocalServer
from support.outside import serving
from support.people import API, PASSWORD, Person, register

_keys = (f"key-under-load-{number}" for number in count())
_ADMIN = {
    "FIRST_ADMIN_USERNAME": "banker",
    "FIRST_ADMIN_EMAIL": "banker@example.com",
    "FIRST_ADMIN_PASSWORD": PASSWORD,
}


class Bank:
    """The running service, as an administrator and two customers use it."""

    def __init__(
        self, client: httpx2.AsyncClient, url: str, admin: Person, people: Sequence[Person]
    ) -> None:
        self.client = client
        self.url = url
        self.pid = 0
        self.admin = admin
        self.people = people

    async def open(self, owner: Person, amount: str | None = None) -> int:
        """Open an account, with a deposit where one is named."""
        made = await self.client.post(f"{API}/accounts", json={}, headers=owner.headers)
        account: int = made.json()["id"]
        if amount:
            path = f"{API}/accounts/{account}/deposits"
            headers = self.admin.keyed(next(_keys))
            done = await self.client.post(path, json={"amount": amount}, headers=headers)
            assert done.status_code == 201, done.text
        return account

    async def pay(
        self, owner: Person, payer: int, payee: int, amount: str, key: str | None = None
    ) -> httpx2.Response:
        """Send a transfer."""
        body = {"from_account_id": payer, "to_account_id": payee, "amount": amount}
        headers = owner.keyed(key or next(_keys))
        return await self.client.post(f"{API}/transfers", json=body, headers=headers)

    async def snapshot(self, accounts: Sequence[int]) -> dict[int, Decimal]:
        """Read balances at one moment."""
        ids = ",".join(map(str, accounts))
        path = f"{API}/accounts/snapshot?ids={ids}"
        read = await self.client.get(path, headers=self.admin.headers)
        assert read.status_code == 200, read.text
        return {each["id"]: Decimal(each["balance"]) for each in read.json()["accounts"]}

    async def deadlocks(self) -> int:
        """How many the database has ended: those that were run again show up here only."""
        connection = await asyncpg.connect(self.url)
        try:
            found = "SELECT sum(deadlocks)::int FROM pg_stat_database"
            number: int = await connection.fetchval(found)
            return number
        finally:
            await connection.close()

    async def check_ledger(self, account: int) -> None:
        """Every step of the ledger is there and adds up to the balance."""
        balance, version, after = Decimal(0), 0, 0
        while True:
            path = f"{API}/accounts/{account}/entries?limit=100&after_version={after}"
            page = (await self.client.get(path, headers=self.admin.headers)).json()["items"]
            for entry in page:
                version += 1
                balance += Decimal(entry["amount"])
                assert entry["version"] == version
                assert Decimal(entry["balance_after"]) == balance >= 0
            if not page:
                break
            after = version
        read = await self.client.get(f"{API}/accounts/{account}", headers=self.admin.headers)
        assert (Decimal(read.json()["balance"]), read.json()["version"]) == (balance, version)


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    """The service on two workers, with an administrator."""
    async with await LocalServer.start(tmp_path / "postgres", is_durable=False) as server:
        variables = {
            **_ADMIN,
            "NEON_DATABASE_URL": server.url,
            "ENVIRONMENT": "development",
            "DRAIN_SECONDS": "0.1",
        }
        command = ("neonkit", "serve", "neonkit_starter.app:app", "--workers", "2")
        with serving(tmp_path, *command, **variables) as served:
            await asyncio.to_thread(served.wait_for, "/health/startup", 200, 30)
            limits = httpx2.Limits(max_connections=64)
            async with httpx2.AsyncClient(
                base_url=served.url, limits=limits, timeout=30, trust_env=False
            ) as client:
                form = {"username": "banker", "password": PASSWORD}
                token = (await client.post(f"{API}/auth/token", data=form)).json()["access_token"]
                admin = Person(1, {"Authorization": f"Bearer {token}"})
                people = [await register(client), await register(client)]
                bank = Bank(client, server.url, admin, people)
                bank.pid = served.process.pid
                yield bank


async def _at_most(width: int, calls: Sequence[Awaitable[httpx2.Response]]) -> list[int]:
    """Await all of them, so many at a time; their statuses."""
    slots = asyncio.Semaphore(width)

    async def one(call: Awaitable[httpx2.Response]) -> int:
        async with slots:
            return (await call).status_code

    return await asyncio.gather(*map(one, calls))


async def test_no_money_is_made_or_lost_in_any_snapshot(bank: Bank) -> None:
    """Two hundred transfers at once among eight accounts, until 200 snapshots came meanwhile."""
    owner = bank.people[0]
    accounts = [await bank.open(owner, "100.00") for _ in range(8)]
    chance = random.Random(7)
    statuses: Counter[int] = Counter()
    snapshots = 0
    is_moving = True

    async def move() -> None:
        nonlocal is_moving
        while snapshots < 200:
            pairs = [chance.sample(accounts, 2) for _ in range(200)]
            calls = [
                bank.pay(owner, payer, payee, f"{chance.randint(1, 6000) / 100:.2f}")
                for payer, payee in pairs
            ]
            statuses.update(answer.status_code for answer in await asyncio.gather(*calls))
        is_moving = False

    async def watch() -> None:
        nonlocal snapshots
        while is_moving:
            balances = await bank.snapshot(accounts)
            assert sum(balances.values()) == Decimal("800.00")
            assert min(balances.values()) >= 0
            snapshots += is_moving

    async with asyncio.TaskGroup() as group:
        group.create_task(move())
        for _ in range(8):
            group.create_task(watch())

    assert set(statuses) <= {201, 400}
    assert statuses[201] >= 100
    assert snapshots >= 200
    for account in accounts:
        await bank.check_ledger(account)


async def test_opposite_streams_never_show_a_deadlock(bank: Bank) -> None:
    """A thousand transfers each way between two accounts, sixteen at a time: all happen."""
    (ada, bob) = bank.people
    left, right = await bank.open(ada, "500.00"), await bank.open(bob, "500.00")

    there = _at_most(16, [bank.pay(ada, left, right, "0.25") for _ in range(1000)])
    back = _at_most(16, [bank.pay(bob, right, left, "0.25") for _ in range(1000)])
    statuses = Counter([status for each in await asyncio.gather(there, back) for status in each])

    assert statuses == {201: 2000}
    assert await bank.deadlocks() == 0
    assert set((await bank.snapshot([left, right])).values()) == {Decimal("500.00")}
    await bank.check_ledger(left)
    await bank.check_ledger(right)


async def test_the_whole_balance_is_withdrawn_once(bank: Bank) -> None:
    """Of a hundred parallel transfers of everything, one happens."""
    owner = bank.people[0]
    full, empty = await bank.open(owner, "77.00"), await bank.open(owner)

    calls = [bank.pay(owner, full, empty, "77.00") for _ in range(100)]
    statuses = Counter(await _at_most(100, calls))

    assert statuses == {201: 1, 400: 99}
    assert await bank.snapshot([full, empty]) == {full: Decimal(0), empty: Decimal("77.00")}


async def test_one_key_has_one_effect_however_often_it_is_sent(bank: Bank) -> None:
    """Twenty requests under one key at once: one transfer, one answer, nineteen replays."""
    owner = bank.people[0]
    full, empty = await bank.open(owner, "10.00"), await bank.open(owner)

    answers = await asyncio.gather(
        *[bank.pay(owner, full, empty, "1.00", key="the-same-key") for _ in range(20)]
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert (await bank.snapshot([full]))[full] == Decimal("9.00")
    by_key = await bank.client.get(f"{API}/transfers/by-key/the-same-key", headers=owner.headers)
    assert by_key.content == answers[0].content


async def test_a_key_outlives_the_worker_that_had_it(bank: Bank) -> None:
    """Both workers are killed while a transfer is under way: its repeat happens, once, in 2 s."""
    owner = bank.people[0]
    full, empty = await bank.open(owner, "10.00"), await bank.open(owner)
    holder = await asyncpg.connect(bank.url)
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", full)
    lost = asyncio.create_task(bank.pay(owner, full, empty, "4.00", key="outlives-its-worker"))
    await asyncio.sleep(0.3)

    for pid in workers_of(bank.pid):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(httpx2.TransportError):
        await lost
    await held.rollback()
    await holder.close()
    while True:
        with suppress(httpx2.TransportError):
            if (await bank.client.get("/health/startup")).status_code == 200:
                break
        await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        done = await bank.pay(owner, full, empty, "4.00", key="outlives-its-worker")

    assert done.status_code == 201
    assert (await bank.snapshot([full, empty])) == {full: Decimal(6), empty: Decimal(4)}
