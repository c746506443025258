"""What is kept under the key of a transfer or a deposit, and for how long."""

from sqlalchemy import text

from neonkit import Database
from starter.conftest import Call, slug_of


async def _kept_for_good(db: Database) -> dict[str, bool]:
    async with db.read_session() as session:
        rows = text("SELECT key, expires_at IS NULL AS is_for_good FROM neonkit.keys")
        found = await (await session.connection()).execute(rows)
        return {row.key: row.is_for_good for row in found}


async def test_only_what_happened_keeps_its_key_for_good(call: Call, db: Database) -> None:
    """A refusal is kept as other answers are: nobody fills the table with them."""
    payer = (await call("POST /accounts", "ada", json={})).json()["id"]
    payee = (await call("POST /accounts", "bob", json={})).json()["id"]
    deposit = f"POST /accounts/{payer}/deposits"
    pay = {"from_account_id": payer, "to_account_id": payee, "amount": "5.00"}

    async def transfer(key: str) -> str:
        answer = await call("POST /transfers", "ada", json=pay, headers={"Idempotency-Key": key})
        return "made" if answer.is_success else slug_of(answer)

    missing = {"Idempotency-Key": "deposit nowhere"}
    made = {"Idempotency-Key": "deposit here"}
    assert await transfer("transfer too early") == "insufficient-funds"
    path = "POST /accounts/2147483647/deposits"
    assert (await call(path, "admin", json={"amount": "5.00"}, headers=missing)).status_code == 404
    assert (await call(deposit, "admin", json={"amount": "5.00"}, headers=made)).status_code == 201
    assert await transfer("transfer in time") == "made"
    assert await transfer("transfer too early") == "insufficient-funds"

    assert await _kept_for_good(db) == {
        "transfer too early": False,
        "deposit nowhere": False,
        "deposit here": True,
        "transfer in time": True,
    }
