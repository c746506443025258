"""A bank: customers who never ask twice, the history of what they were told, and its invariants."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import httpx2
from sqlalchemy import text

from neonkit import Database
from support.people import API, Person

_UNCERTAIN = "outcome-unknown"
_SECONDS = 15.5  # REQUEST_TIMEOUT, and what an answer may take beyond it
_LEDGER = text("SELECT account_id, version, amount, balance_after FROM entries ORDER BY 1, 2")
_BALANCES = text("SELECT id, balance, version FROM accounts")
_TRANSFERS = text("SELECT key, from_account_id, to_account_id, amount FROM transfers")
_DEPOSITS = text(
    "SELECT count(*) AS number, coalesce(sum(amount), 0) AS total FROM entries "
    "WHERE transfer_id IS NULL"
)


@dataclass(frozen=True)
class Told:
    """What a customer asked for, and what they were told: once."""

    kind: str
    key: str
    amount: Decimal
    status: int
    slug: str
    seconds: float
    made: int | None


@dataclass
class Bank:
    """The running service, as one administrator and one owner of all accounts use it.

    Attributes:
        history: of all that was asked.
        faults: invariants that a snapshot broke while it was read.
    """

    client: httpx2.AsyncClient
    admin: Person
    owner: Person
    accounts: list[int] = field(default_factory=list)
    history: list[Told] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=count)
    _sent: Decimal = Decimal(0)
    _acknowledged: Decimal = Decimal(0)

    async def open_for_business(self, accounts: int) -> None:
        """Open accounts with 100.00 each."""
        for _ in range(accounts):
            made = await self.client.post(f"{API}/accounts", json={}, headers=self.owner.headers)
            self.accounts.append(made.json()["id"])
        for account in self.accounts:
            await self.deposit(account, Decimal("100.00"))

    async def ask_for_something(self, chance: random.Random) -> None:
        """Do what customers do."""
        kind = chance.choices(("pay", "deposit", "come and go", "look"), (14, 2, 1, 3))[0]
        if kind == "pay":
            payer, payee = chance.sample(self.accounts, 2)
            await self.pay(payer, payee, _amount(chance))
        elif kind == "deposit":
            await self.deposit(chance.choice(self.accounts), _amount(chance))
        elif kind == "look":
            await self.look()
        else:
            await self.come_and_go()

    async def pay(self, payer: int, payee: int, amount: Decimal) -> None:
        """Send a transfer, once."""
        body: dict[str, object] = {
            "from_account_id": payer,
            "to_account_id": payee,
            "amount": f"{amount:.2f}",
        }
        await self._post("transfer", self.owner, "/transfers", body, amount)

    async def deposit(self, account: int, amount: Decimal) -> None:
        """Book money from outside, once."""
        self._sent += amount
        body: dict[str, object] = {"amount": f"{amount:.2f}"}
        told = await self._post(
            "deposit", self.admin, f"/accounts/{account}/deposits", body, amount
        )
        if told.status == httpx2.codes.CREATED:
            self._acknowledged += amount

    async def come_and_go(self) -> None:
        """Open an account, and close it while it is empty."""
        opened = await self._post("open", self.owner, "/accounts", {}, Decimal(0))
        if opened.status == httpx2.codes.CREATED:
            path = f"/accounts/{opened.made}/close"
            await self._post("close", self.owner, path, None, Decimal(0))

    async def look(self) -> None:
        """Read all balances at one moment, and judge them at once."""
        at_least, began = self._acknowledged, time.monotonic()
        ids = ",".join(map(str, self.accounts))
        read = await self.client.get(
            f"{API}/accounts/snapshot?ids={ids}", headers=self.admin.headers
        )
        self._note("look", "", Decimal(0), read, began)
        if read.status_code == httpx2.codes.OK:
            balances = [Decimal(each["balance"]) for each in read.json()["accounts"]]
            if not at_least <= sum(balances) <= self._sent:
                self.faults.append(f"I1: {sum(balances)} is not in {at_least}..{self._sent}")
            if min(balances) < 0:
                self.faults.append("I2: a balance is below zero")

    async def _post(
        self, kind: str, who: Person, path: str, body: dict[str, object] | None, amount: Decimal
    ) -> Told:
        key = f"key-of-a-customer-{next(self._keys)}"
        began = time.monotonic()
        answer = await self.client.post(API + path, json=body, headers=who.keyed(key))
        return self._note(kind, key, amount, answer, began)

    def _note(
        self, kind: str, key: str, amount: Decimal, answer: httpx2.Response, began: float
    ) -> Told:
        body = answer.json()
        slug = str(body["type"]).rpartition("/")[2] if answer.is_error else ""
        seconds = time.monotonic() - began
        told = Told(kind, key, amount, answer.status_code, slug, seconds, body.get("id"))
        self.history.append(told)
        return told

    @property
    def answers(self) -> Counter[str]:
        """How often each answer was given."""
        return Counter(f"{each.kind} {each.slug or each.status}" for each in self.history)

    async def broken_invariants(self, db: Database) -> list[str]:
        """What the dust shows when it has settled; nothing, if all is well."""
        transfers = {row.key: row for row in await db.execute(_TRANSFERS)}
        deposits = (await db.execute(_DEPOSITS)).one()
        rows = (await db.execute(_LEDGER)).all()
        balances = {row.id: row for row in await db.execute(_BALANCES)}
        return [
            *self.faults,
            *_broken_by_answers(self.history, set(transfers)),
            *_broken_by_deposits(self.history, deposits.number, deposits.total),
            *_broken_by_ledgers(rows, balances),
        ]


def _amount(chance: random.Random) -> Decimal:
    return Decimal(chance.randint(1, 500)) / 100


def _broken_by_answers(history: Sequence[Told], happened: set[str]) -> Iterator[str]:
    for told in history:
        if told.seconds > _SECONDS:
            yield f"I8: {told.kind} took {told.seconds:.1f} s"
        if told.kind != "transfer":
            continue
        if told.status == httpx2.codes.CREATED and told.key not in happened:
            yield f"I3: {told.key} was acknowledged and is not there"
        if 400 <= told.status < 500 and told.key in happened:
            yield f"I5: {told.key} was refused ({told.slug}) and is there"
        if told.status >= 500 and told.slug != _UNCERTAIN and told.key in happened:
            yield f"I7: {told.key} was told as {told.slug} and is there"


def _broken_by_deposits(history: Sequence[Told], number: int, total: Decimal) -> Iterator[str]:
    deposits = [each for each in history if each.kind == "deposit"]
    sure = [each.amount for each in deposits if each.status == httpx2.codes.CREATED]
    open_ = [each.amount for each in deposits if each.slug == _UNCERTAIN]
    if not sum(sure) <= total <= sum(sure) + sum(open_):
        yield f"I4: {total} was deposited, and {sum(sure)} acknowledged"
    if not len(sure) <= number <= len(sure) + len(open_):
        yield f"I4: there were {number} deposits, and {len(sure)} acknowledged"


def _broken_by_ledgers(rows: Sequence[Any], balances: dict[int, Any]) -> Iterator[str]:
    last: dict[int, tuple[int, Decimal]] = {}
    for account, version, amount, after in rows:
        before = last.get(account, (0, Decimal(0)))
        if (version, after) != (before[0] + 1, before[1] + amount):
            yield f"I6: the ledger of {account} breaks at {version}"
        last[account] = version, after
    for account, row in balances.items():
        if (row.version, row.balance) != last.get(account, (0, Decimal(0))):
            yield f"I6: the balance of {account} is not that of its ledger"
