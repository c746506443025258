"""The money's part of the API: owners see and move their own, administrators see all."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import insert
from sqlmodel import col

from neonkit import (
    CallerDep,
    Condition,
    CreatedDep,
    DatabaseDep,
    IdempotencyKey,
    IfMatchDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    ReadSessionDep,
    TaggedDep,
    existing,
    paginate,
)
from neonkit.errors import FieldProblem, ForbiddenError, NotFoundError, RequestInvalidError
from neonkit.web import raises
from neonkit_starter.accounts.errors import (
    AccountClosedError,
    BalanceLimitError,
    BalanceNotZeroError,
    CurrencyMismatchError,
    InsufficientFundsError,
    SameAccountError,
)
from neonkit_starter.accounts.models import MOST, Account, Entry, Transfer
from neonkit_starter.accounts.queries import (
    ENTRIES,
    ETAG,
    SHOWN,
    TRANSFERS,
    visible_account,
    visible_accounts,
    visible_transfers,
)
from neonkit_starter.accounts.rules import carried_out
from neonkit_starter.accounts.schemas import (
    AccountCreate,
    AccountRead,
    BalanceRead,
    DepositCreate,
    DepositRead,
    EntryRead,
    Snapshot,
    TransferCreate,
    TransferRead,
)
from neonkit_starter.accounts.statements import CLOSE, DEPOSIT, TRANSFER
from neonkit_starter.parameters import LARGEST_ID, Id, IdFilter
from neonkit_starter.users.models import Role

router = APIRouter(tags=["money"])

_MOST_IN_SNAPSHOT = 500
_IDS = re.compile("[1-9][0-9]{0,9}(,[1-9][0-9]{0,9})*")
_Ids = Query(max_length=11 * _MOST_IN_SNAPSHOT, json_schema_extra={"pattern": f"^{_IDS.pattern}$"})

Version = Annotated[int, Query(ge=0, le=LARGEST_ID)]


def read_ids(ids: Annotated[str, _Ids]) -> list[int]:
    """Read `ids=1,2,…`, each once, in the order given."""
    read = [int(part) for part in ids.split(",")] if _IDS.fullmatch(ids) else []
    if not read or max(read) > LARGEST_ID:
        fault = FieldProblem("/query/ids", "int_parsing", "It must be ids by comma, such as 1,2.")
        raise RequestInvalidError(errors=[fault])
    if len(read) > _MOST_IN_SNAPSHOT:
        fault = FieldProblem("/query/ids", "too_long", f"At most {_MOST_IN_SNAPSHOT} at once.")
        raise RequestInvalidError(errors=[fault])
    return list(dict.fromkeys(read))


@router.post("/accounts", status_code=201)
async def create_account(
    body: AccountCreate,
    me: CallerDep,
    db: DatabaseDep,
    key: OptionalIdempotencyKey,
    created: CreatedDep,
) -> AccountRead:
    """Open an account; it is yours, and empty."""
    new = insert(Account).values(owner_id=me.id, currency=body.currency).returning(*SHOWN, ETAG)
    return created((await db.execute(new, key)).one())


@router.get("/accounts")
async def list_accounts(
    me: CallerDep, session: ReadSessionDep, page: PageDep, owner_id: IdFilter = None
) -> Page[AccountRead]:
    """List your accounts; an administrator's list is everybody's."""
    found = visible_accounts(me)
    if owner_id is not None:
        found = found.where(col(Account.owner_id) == owner_id)
    return await paginate(session, found, page, sort=[col(Account.id)])


@router.get("/accounts/snapshot", openapi_extra=raises(NotFoundError))
async def read_snapshot(
    ids: Annotated[list[int], Depends(read_ids)], me: CallerDep, db: DatabaseDep
) -> Snapshot:
    """Read up to 500 accounts as they were at one moment; all of them, or none."""
    found = await db.execute(visible_accounts(me).where(col(Account.id).in_(ids)))
    rows = {row.id: row for row in found}
    if len(rows) < len(ids):
        raise NotFoundError
    return Snapshot(
        accounts=[BalanceRead.model_validate(rows[each], from_attributes=True) for each in ids]
    )


@router.get("/accounts/{account_id}", openapi_extra=raises(NotFoundError))
async def read_account(
    account_id: Id, me: CallerDep, db: DatabaseDep, tagged: TaggedDep
) -> AccountRead:
    """Read an account."""
    return tagged(existing(await db.execute(visible_account(me, account_id))))


@router.post(
    "/accounts/{account_id}/close",
    openapi_extra=raises(BalanceNotZeroError, ForbiddenError, NotFoundError),
)
async def close_account(
    account_id: Id,
    me: CallerDep,
    db: DatabaseDep,
    key: OptionalIdempotencyKey,
    if_match: IfMatchDep,
) -> AccountRead:
    """Close an empty account; its ledger stays, and closing it again changes nothing."""
    values = {
        "account": account_id,
        "caller": me.id,
        "is_admin": me.role == Role.ADMIN,
        "tags": if_match.tags,
    }
    return if_match.tagged(carried_out(await db.execute(CLOSE, key, parameters=values)))


@router.get("/accounts/{account_id}/entries", openapi_extra=raises(NotFoundError))
async def list_entries(
    account_id: Id,
    me: CallerDep,
    session: ReadSessionDep,
    page: PageDep,
    after_version: Version = 0,
) -> Page[EntryRead]:
    """List an account's ledger, oldest first."""
    account = visible_accounts(me).where(col(Account.id) == account_id)
    entries = ENTRIES.where(col(Entry.account_id) == account_id, col(Entry.version) > after_version)
    return await paginate(
        session,
        entries,
        page,
        sort=[col(Entry.version)],
        conditions=[Condition(account.exists(), NotFoundError)],
    )


@router.post(
    "/accounts/{account_id}/deposits",
    status_code=201,
    openapi_extra=raises(AccountClosedError, BalanceLimitError, ForbiddenError, NotFoundError),
)
async def create_deposit(
    account_id: Id, body: DepositCreate, me: CallerDep, db: DatabaseDep, key: IdempotencyKey
) -> DepositRead:
    """Book money that comes from outside."""
    me.require(Role.ADMIN)
    values = {"account": account_id, "amount": body.amount, "most": MOST}
    kept = key.for_good(unless="refusal")
    return existing(carried_out(await db.execute(DEPOSIT, kept, parameters=values)))


@router.post(
    "/transfers",
    status_code=201,
    openapi_extra=raises(
        AccountClosedError,
        BalanceLimitError,
        CurrencyMismatchError,
        ForbiddenError,
        InsufficientFundsError,
        NotFoundError,
        SameAccountError,
    ),
)
async def create_transfer(
    body: TransferCreate, me: CallerDep, db: DatabaseDep, key: IdempotencyKey, created: CreatedDep
) -> TransferRead:
    """Move money from your account to another; once, however often it is sent under one key."""
    if body.from_account_id == body.to_account_id:
        raise SameAccountError
    values = {
        "payer": body.from_account_id,
        "payee": body.to_account_id,
        "amount": body.amount,
        "most": MOST,
        "caller": me.id,
        "is_admin": me.role == Role.ADMIN,
        "key": key.value,
    }
    kept = key.for_good(unless="refusal")
    return created(carried_out(await db.execute(TRANSFER, kept, parameters=values)))


@router.get("/transfers/by-key/{key:path}", openapi_extra=raises(NotFoundError))
async def read_transfer_by_key(key: str, me: CallerDep, db: DatabaseDep) -> TransferRead:
    """Read the transfer that you made under a key."""
    mine = TRANSFERS.where(col(Transfer.caller_id) == me.id, col(Transfer.key) == key)
    return existing(await db.execute(mine))


@router.get("/transfers/{transfer_id}", openapi_extra=raises(NotFoundError))
async def read_transfer(transfer_id: Id, me: CallerDep, db: DatabaseDep) -> TransferRead:
    """Read a transfer from or to one of your accounts."""
    transfer = visible_transfers(me).where(col(Transfer.id) == transfer_id)
    return existing(await db.execute(transfer))
