"""The money's part of the API: owners see and move their own, administrators see all."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy import Row
from sqlmodel import col

from neonkit import (
    CallerDep,
    Database,
    DatabaseDep,
    IdempotencyKey,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    paginate,
)
from neonkit.db import Key
from neonkit.errors import FieldProblem, ForbiddenError, NotFoundError, RequestInvalidError
from neonkit.web import ActingPrincipal, raises
from neonkit_starter.accounts import queries
from neonkit_starter.accounts.errors import (
    AccountClosedError,
    BalanceLimitError,
    BalanceNotZeroError,
    CurrencyMismatchError,
    InsufficientFundsError,
    SameAccountError,
)
from neonkit_starter.accounts.models import Account, Entry
from neonkit_starter.accounts.rules import is_admin, owner_seen_by, raise_refusal
from neonkit_starter.accounts.schemas import (
    LARGEST_ID,
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
from neonkit_starter.rows import existing
from neonkit_starter.users.models import Role

router = APIRouter(tags=["money"])

_MOST_IN_SNAPSHOT = 500

Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
OwnerId = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
Version = Annotated[int, Query(ge=0, le=LARGEST_ID)]
MoneyRow = Row[*tuple[Any, ...]]


def read_ids(ids: Annotated[str, Query(max_length=11 * _MOST_IN_SNAPSHOT)]) -> list[int]:
    """Read `ids=1,2,…`, each once, in the order given."""
    parts = ids.split(",")
    read = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    if len(read) < len(parts) or not all(0 < each <= LARGEST_ID for each in read):
        fault = FieldProblem("/query/ids", "int_parsing", "It must be ids by comma, such as 1,2.")
        raise RequestInvalidError(errors=[fault])
    if len(read) > _MOST_IN_SNAPSHOT:
        fault = FieldProblem("/query/ids", "too_long", f"At most {_MOST_IN_SNAPSHOT} at once.")
        raise RequestInvalidError(errors=[fault])
    return list(dict.fromkeys(read))


@router.post("/accounts", response_model=AccountRead, status_code=201)
async def create_account(
    body: AccountCreate,
    caller: CallerDep,
    database: DatabaseDep,
    key: OptionalIdempotencyKey,
    request: Request,
    response: Response,
) -> MoneyRow:
    """Open an account; it is yours, and empty."""

    async def write(who: ActingPrincipal) -> MoneyRow:
        statement = queries.open_account(owner_id=who.id, currency=body.currency)
        return (await database.execute(statement, key=key, condition=who.holds)).one()

    account = await caller.act(write)
    response.headers["Location"] = f"{request.scope['path']}/{account.id}"
    return account


@router.get("/accounts", response_model=Page[AccountRead])
async def list_accounts(
    caller: CallerDep, database: DatabaseDep, page: PageDep, owner_id: OwnerId = None
) -> Page[MoneyRow]:
    """List your accounts; an administrator's list is everybody's."""

    async def read(who: ActingPrincipal) -> Page[MoneyRow]:
        found = queries.accounts(owner_id=owner_seen_by(who))
        if owner_id is not None:
            found = found.where(col(Account.owner_id) == owner_id)
        order = [col(Account.id)]
        async with database.read_session() as session:
            return await paginate(session, found, page, sort=order, condition=who.holds)

    return await caller.act(read)


@router.get("/accounts/snapshot", response_model=Snapshot, openapi_extra=raises(NotFoundError))
async def read_snapshot(
    ids: Annotated[list[int], Depends(read_ids)], caller: CallerDep, database: DatabaseDep
) -> Snapshot:
    """Read up to 500 accounts as they were at one moment; all of them, or none."""

    async def read(who: ActingPrincipal) -> dict[int, MoneyRow]:
        found = queries.accounts_among(ids, owner_id=owner_seen_by(who))
        rows = {row.id: row for row in await database.execute(found, condition=who.holds)}
        if len(rows) < len(ids):
            raise NotFoundError
        return rows

    rows = await caller.act(read)
    return Snapshot(
        accounts=[BalanceRead.model_validate(rows[each], from_attributes=True) for each in ids]
    )


@router.get(
    "/accounts/{account_id}", response_model=AccountRead, openapi_extra=raises(NotFoundError)
)
async def read_account(account_id: Id, caller: CallerDep, database: DatabaseDep) -> MoneyRow:
    """Read an account."""
    return await caller.act(lambda who: _read_account(database, who, account_id))


@router.post(
    "/accounts/{account_id}/close",
    response_model=AccountRead,
    openapi_extra=raises(BalanceNotZeroError, ForbiddenError, NotFoundError),
)
async def close_account(
    account_id: Id, caller: CallerDep, database: DatabaseDep, key: OptionalIdempotencyKey
) -> MoneyRow:
    """Close an empty account; its ledger stays, and closing it again changes nothing."""

    async def close(who: ActingPrincipal) -> MoneyRow:
        call = queries.close(account=account_id, caller=who.id, is_admin=is_admin(who))
        return await _carry_out(database, call, who, key)

    return _carried_out(await caller.act(close))


@router.get(
    "/accounts/{account_id}/entries",
    response_model=Page[EntryRead],
    openapi_extra=raises(NotFoundError),
)
async def list_entries(  # each a part of the request
    account_id: Id,
    caller: CallerDep,
    database: DatabaseDep,
    page: PageDep,
    after_version: Version = 0,
) -> Page[MoneyRow]:
    """List an account's ledger, oldest first."""

    async def read(who: ActingPrincipal) -> Page[MoneyRow]:
        found = queries.entries(
            account_id, after_version=after_version, owner_id=owner_seen_by(who)
        )
        order = [col(Entry.version)]
        async with database.read_session() as session:
            listed = await paginate(session, found, page, sort=order, condition=who.holds)
        if not listed.items:
            await _read_account(database, who, account_id)
        return listed

    return await caller.act(read)


@router.post(
    "/accounts/{account_id}/deposits",
    response_model=DepositRead,
    status_code=201,
    openapi_extra=raises(AccountClosedError, BalanceLimitError, ForbiddenError, NotFoundError),
)
async def create_deposit(
    account_id: Id,
    body: DepositCreate,
    caller: CallerDep,
    database: DatabaseDep,
    key: IdempotencyKey,
) -> MoneyRow:
    """Book money that comes from outside."""

    async def book(who: ActingPrincipal) -> MoneyRow:
        who.require(Role.ADMIN)
        call = queries.deposit(account=account_id, amount=body.amount)
        return await _carry_out(database, call, who, key.for_good())

    return _carried_out(await caller.act(book))


@router.post(
    "/transfers",
    response_model=TransferRead,
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
    body: TransferCreate,
    caller: CallerDep,
    database: DatabaseDep,
    key: IdempotencyKey,
    request: Request,
    response: Response,
) -> MoneyRow:
    """Move money from your account to another; once, however often it is sent under one key."""
    if body.from_account_id == body.to_account_id:
        raise SameAccountError

    async def move(who: ActingPrincipal) -> MoneyRow:
        call = queries.transfer(
            payer=body.from_account_id,
            payee=body.to_account_id,
            amount=body.amount,
            caller=who.id,
            is_admin=is_admin(who),
            key=key.value,
        )
        return await _carry_out(database, call, who, key.for_good())

    made = _carried_out(await caller.act(move))
    response.headers["Location"] = f"{request.scope['path']}/{made.id}"
    return made


@router.get(
    "/transfers/by-key/{key:path}", response_model=TransferRead, openapi_extra=raises(NotFoundError)
)
async def read_transfer_by_key(key: str, caller: CallerDep, database: DatabaseDep) -> MoneyRow:
    """Read the transfer that you made under a key."""

    async def read(who: ActingPrincipal) -> MoneyRow:
        found = queries.transfer_by_key(key, caller=who.id)
        return existing(await database.execute(found, condition=who.holds))

    return await caller.act(read)


@router.get(
    "/transfers/{transfer_id}", response_model=TransferRead, openapi_extra=raises(NotFoundError)
)
async def read_transfer(transfer_id: Id, caller: CallerDep, database: DatabaseDep) -> MoneyRow:
    """Read a transfer from or to one of your accounts."""

    async def read(who: ActingPrincipal) -> MoneyRow:
        found = queries.transfer_by_id(transfer_id, owner_id=owner_seen_by(who))
        return existing(await database.execute(found, condition=who.holds))

    return await caller.act(read)


async def _read_account(database: Database, who: ActingPrincipal, account_id: int) -> MoneyRow:
    found = queries.account_by_id(account_id, owner_id=owner_seen_by(who))
    return existing(await database.execute(found, condition=who.holds))


async def _carry_out(
    database: Database, call: queries.Call, who: ActingPrincipal, key: Key | None
) -> MoneyRow:
    statement, values = call
    done = await database.execute(statement, key=key, parameters=values, condition=who.holds)
    row: MoneyRow = done.one()
    return row


def _carried_out(row: MoneyRow) -> MoneyRow:
    """What a statement that moves money gave, unless it refused."""
    raise_refusal(row.refusal)
    return row
