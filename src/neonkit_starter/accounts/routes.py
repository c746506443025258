"""The money's part of the API: owners see and move their own, administrators see all."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy import Row, TextualSelect
from sqlmodel import col

from neonkit import (
    Database,
    DatabaseDep,
    IdempotencyKey,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    PrincipalDep,
    ReadSessionDep,
    paginate,
    require_role,
)
from neonkit.db import Key
from neonkit.errors import FieldProblem, ForbiddenError, NotFoundError, RequestInvalidError
from neonkit.web import Principal, raises
from neonkit_starter.accounts import queries
from neonkit_starter.accounts.errors import (
    AccountClosedError,
    BalanceLimitError,
    BalanceNotZeroError,
    CurrencyMismatchError,
    InsufficientFundsError,
    SameAccountError,
)
from neonkit_starter.accounts.models import Account, Entry, Transfer
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
from neonkit_starter.users.models import Role

router = APIRouter(tags=["money"])

_MOST_IN_SNAPSHOT = 500

Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
OwnerId = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
Version = Annotated[int, Query(ge=0, le=LARGEST_ID)]
Admin = Annotated[Principal, Depends(require_role(Role.ADMIN))]


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
    caller: PrincipalDep,
    database: DatabaseDep,
    key: OptionalIdempotencyKey,
    request: Request,
    response: Response,
) -> AccountRead:
    """Open an account; it is yours, and empty."""
    statement = queries.open_account(owner_id=caller.id, currency=body.currency)
    account = AccountRead.model_validate((await database.execute(statement, key=key)).one())
    response.headers["Location"] = f"{request.url.path}/{account.id}"
    return account


@router.get("/accounts", response_model=Page[AccountRead])
async def list_accounts(
    caller: PrincipalDep, session: ReadSessionDep, page: PageDep, owner_id: OwnerId = None
) -> Page[Account]:
    """List your accounts; an administrator's list is everybody's."""
    found = queries.accounts(owner_id=owner_seen_by(caller))
    if owner_id is not None:
        found = found.where(col(Account.owner_id) == owner_id)
    return await paginate(session, found, page, sort=[col(Account.id)])


@router.get("/accounts/snapshot", response_model=Snapshot, openapi_extra=raises(NotFoundError))
async def read_snapshot(
    ids: Annotated[list[int], Depends(read_ids)], caller: PrincipalDep, session: ReadSessionDep
) -> Snapshot:
    """Read up to 500 accounts as they were at one moment; all of them, or none."""
    found = queries.accounts_among(ids, owner_id=owner_seen_by(caller))
    rows = {row.id: row for row in await session.exec(found)}
    if len(rows) < len(ids):
        raise NotFoundError
    return Snapshot(
        accounts=[BalanceRead.model_validate(rows[each], from_attributes=True) for each in ids]
    )


@router.get(
    "/accounts/{account_id}", response_model=AccountRead, openapi_extra=raises(NotFoundError)
)
async def read_account(account_id: Id, caller: PrincipalDep, session: ReadSessionDep) -> Account:
    """Read an account."""
    found = queries.account_by_id(account_id, owner_id=owner_seen_by(caller))
    account = (await session.exec(found)).one_or_none()
    if account is None:
        raise NotFoundError
    return account


@router.post(
    "/accounts/{account_id}/close",
    response_model=AccountRead,
    openapi_extra=raises(BalanceNotZeroError, ForbiddenError, NotFoundError),
)
async def close_account(
    account_id: Id, caller: PrincipalDep, database: DatabaseDep, key: OptionalIdempotencyKey
) -> AccountRead:
    """Close an empty account; its ledger stays, and closing it again changes nothing."""
    statement = queries.close(account=account_id, caller=caller.id, is_admin=is_admin(caller))
    return AccountRead.model_validate(await _carry_out(database, statement, key))


@router.get(
    "/accounts/{account_id}/entries",
    response_model=Page[EntryRead],
    openapi_extra=raises(NotFoundError),
)
async def list_entries(
    account_id: Id,
    caller: PrincipalDep,
    session: ReadSessionDep,
    page: PageDep,
    after_version: Version = 0,
) -> Page[Entry]:
    """List an account's ledger, oldest first."""
    await read_account(account_id, caller, session)
    found = queries.entries(account_id, after_version=after_version)
    return await paginate(session, found, page, sort=[col(Entry.version)])


@router.post(
    "/accounts/{account_id}/deposits",
    response_model=DepositRead,
    status_code=201,
    openapi_extra=raises(AccountClosedError, BalanceLimitError, ForbiddenError, NotFoundError),
)
async def create_deposit(
    account_id: Id, body: DepositCreate, _: Admin, database: DatabaseDep, key: IdempotencyKey
) -> DepositRead:
    """Book money that comes from outside."""
    statement = queries.deposit(account=account_id, amount=body.amount)
    return DepositRead.model_validate(await _carry_out(database, statement, key.for_good()))


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
    caller: PrincipalDep,
    database: DatabaseDep,
    key: IdempotencyKey,
    request: Request,
    response: Response,
) -> TransferRead:
    """Move money from your account to another; once, however often it is sent under one key."""
    if body.from_account_id == body.to_account_id:
        raise SameAccountError
    statement = queries.transfer(
        payer=body.from_account_id,
        payee=body.to_account_id,
        amount=body.amount,
        caller=caller.id,
        is_admin=is_admin(caller),
        key=key.value,
    )
    made = TransferRead.model_validate(await _carry_out(database, statement, key.for_good()))
    response.headers["Location"] = f"{request.url.path}/{made.id}"
    return made


@router.get(
    "/transfers/by-key/{key:path}", response_model=TransferRead, openapi_extra=raises(NotFoundError)
)
async def read_transfer_by_key(key: str, caller: PrincipalDep, session: ReadSessionDep) -> Transfer:
    """Read the transfer that you made under a key."""
    found = queries.transfer_by_key(key, caller=caller.id)
    return _existing((await session.exec(found)).one_or_none())


@router.get(
    "/transfers/{transfer_id}", response_model=TransferRead, openapi_extra=raises(NotFoundError)
)
async def read_transfer(transfer_id: Id, caller: PrincipalDep, session: ReadSessionDep) -> Transfer:
    """Read a transfer from or to one of your accounts."""
    found = queries.transfer_by_id(transfer_id, owner_id=owner_seen_by(caller))
    return _existing((await session.exec(found)).one_or_none())


def _existing(found: Transfer | None) -> Transfer:
    if found is None:
        raise NotFoundError
    return found


async def _carry_out(
    database: Database, statement: TextualSelect, key: Key | None
) -> Row[*tuple[object, ...]]:
    """Run a statement that is a whole unit of work, and raise what it refuses."""
    row: Row[*tuple[object, ...]] = (await database.execute(statement, key=key)).one()
    raise_refusal(row.refusal)
    return row
