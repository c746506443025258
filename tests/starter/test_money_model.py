"""Any order of requests leaves accounts as a few lines of Python say they must be."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import httpx2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from neonkit import Database
from neonkit.testing import LiveServer
from neonkit_starter.users.models import Role
from support.people import API, Person, register, register_as

_keys = (f"key-of-a-request-{number}" for number in count())
AMOUNTS = st.one_of(
    st.integers(1, 10**4).map(lambda cents: Decimal(cents) / 100),
    st.sampled_from([Decimal("0.01"), Decimal("999999999999999.99")]),
).map(lambda amount: amount.quantize(Decimal("0.01")))
MOST = Decimal("999999999999999.99")


@dataclass
class ModelAccount:
    """What an account should be."""

    id: int
    owner: int
    currency: str
    is_closed: bool = False
    ledger: list[Decimal] = field(default_factory=list)

    @property
    def balance(self) -> Decimal:
        """The sum of its ledger."""
        return sum(self.ledger, Decimal("0.00"))


@dataclass(frozen=True)
class Sent:
    """A keyed request and its answer."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    status: int
    answer: bytes


class Money(RuleBasedStateMachine):
    """Opens, deposits, transfers, closes, repeats and is refused, in any order."""

    client: httpx2.Client
    people: tuple[Person, ...]
    admin: Person

    accounts: Bundle[ModelAccount] = Bundle("accounts")
    sent: Bundle[Sent] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.model: list[ModelAccount] = []
        self.touched: set[int] = set()

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Sent:
        answer = self.client.post(API + path, json=body, headers=headers)
        return Sent(path, body, headers, answer.status_code, answer.content)

    @rule(target=accounts, owner=st.integers(0, 1), currency=st.sampled_from(["EUR", "EUR", "USD"]))
    def open(self, owner: int, currency: str) -> ModelAccount:
        """A new account is empty."""
        sent = self._post("/accounts", {"currency": currency}, self.people[owner].headers)
        assert sent.status == 201, sent
        account = ModelAccount(
            httpx2.Response(200, content=sent.answer).json()["id"], owner, currency
        )
        self.model.append(account)
        self.touched.add(account.id)
        return account

    @rule(target=sent, account=accounts, amount=AMOUNTS)
    def deposit(self, account: ModelAccount, amount: Decimal) -> Sent:
        """A deposit is booked unless the account is closed or would overflow."""
        path = f"/accounts/{account.id}/deposits"
        sent = self._post(path, {"amount": str(amount)}, self.admin.keyed(next(_keys)))
        if account.is_closed or account.balance + amount > MOST:
            assert sent.status == 409, sent
        else:
            assert sent.status == 201, sent
            account.ledger.append(amount)
        self.touched.add(account.id)
        return sent

    @rule(
        target=sent,
        payer=accounts,
        payee=accounts,
        amount=AMOUNTS,
        part=st.sampled_from([None, 1, 2, 3]),
        is_owner=st.sampled_from([True, True, True, False]),
    )
    def transfer(
        self,
        payer: ModelAccount,
        payee: ModelAccount,
        amount: Decimal,
        part: int | None,
        *,
        is_owner: bool,
    ) -> Any:  # noqa: ANN401  # nothing is added to the bundle where the key was not taken
        """Money moves if the caller owns it, has it, and the other account can take it."""
        if part:
            amount = max((payer.balance / part).quantize(Decimal("0.01")), Decimal("0.01"))
            amount = min(amount, MOST)
        caller = self.people[payer.owner if is_owner else 1 - payer.owner]
        body = {"from_account_id": payer.id, "to_account_id": payee.id, "amount": str(amount)}
        sent = self._post("/transfers", body, caller.keyed(next(_keys)))
        assert sent.status == self._expected(payer, payee, amount, is_owner=is_owner), sent
        if sent.status == 201:
            payer.ledger.append(-amount)
            payee.ledger.append(amount)
        self.touched |= {payer.id, payee.id}
        return multiple() if payer is payee else sent

    @staticmethod
    def _expected(
        payer: ModelAccount, payee: ModelAccount, amount: Decimal, *, is_owner: bool
    ) -> int:
        refusals = (
            (payer is payee, 422),
            (not is_owner, 404),
            (payer.is_closed, 409),
            (payer.balance < amount, 400),
            (payee.is_closed, 409),
            (payer.currency != payee.currency, 422),
            (payee.balance + amount > MOST, 409),
        )
        return next((status for is_so, status in refusals if is_so), 201)

    @rule(account=accounts)
    def close(self, account: ModelAccount) -> None:
        """An empty account closes, a full one does not."""
        sent = self._post(f"/accounts/{account.id}/close", {}, self.people[account.owner].headers)
        assert sent.status == (409 if account.balance else 200), sent
        account.is_closed = account.is_closed or not account.balance
        self.touched.add(account.id)

    @rule(earlier=sent)
    def repeat(self, earlier: Sent) -> None:
        """The same request under its key is answered with the same bytes, and moves nothing."""
        again = self.client.post(API + earlier.path, json=earlier.body, headers=earlier.headers)
        assert again.status_code == earlier.status
        assert again.headers["idempotent-replayed"] == "true"
        if earlier.status == 201:
            assert again.content == earlier.answer
        self.touched |= {account.id for account in self.model}

    @rule(earlier=consumes(sent))
    def reuse(self, earlier: Sent) -> None:
        """Another body under a key that was used is refused."""
        body = {**earlier.body, "amount": "0.03" if earlier.body["amount"] != "0.03" else "0.04"}
        other = self.client.post(API + earlier.path, json=body, headers=earlier.headers)
        assert other.status_code == 422
        assert other.json()["type"].endswith("/idempotency-key-reused")

    @invariant()
    def adds_up(self) -> None:
        """Balance, version and status of what was touched are the model's."""
        for account in self.model:
            if account.id in self.touched:
                headers = self.people[account.owner].headers
                seen = self.client.get(f"{API}/accounts/{account.id}", headers=headers).json()
                assert Decimal(seen["balance"]) == account.balance
                assert seen["version"] == len(account.ledger)
                assert seen["status"] == ("closed" if account.is_closed else "open")
        self.touched.clear()

    def teardown(self) -> None:
        """Every ledger is dense, and its running balance is right."""
        for account in self.model:
            headers = self.people[account.owner].headers
            path = f"{API}/accounts/{account.id}/entries?limit=100"
            items = self.client.get(path, headers=headers).json()["items"]
            assert [entry["version"] for entry in items] == list(range(1, len(account.ledger) + 1))
            assert [Decimal(entry["amount"]) for entry in items] == account.ledger
            if items:
                assert Decimal(items[-1]["balance_after"]) == account.balance


async def test_accounts_are_what_the_model_says(
    live_server: LiveServer, client: httpx2.AsyncClient, db: Database
) -> None:
    """Through HTTP, 200 runs of up to 50 steps: any order of requests, repeats and refusals."""
    Money.people = (await register(client), await register(client))
    Money.admin = await register_as(client, db, Role.ADMIN)
    check = settings(
        max_examples=200,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    with httpx2.Client(base_url=live_server.url, trust_env=False) as Money.client:
        await asyncio.to_thread(run_state_machine_as_test, Money, settings=check)
