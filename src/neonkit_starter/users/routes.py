"""The users' part of the API."""

from fastapi import APIRouter, Request, Response

from neonkit import SessionDep
from neonkit.auth import hash_password
from neonkit.errors import DuplicateError, FieldProblem
from neonkit.web import raises
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import User
from neonkit_starter.users.rules import weakness_of
from neonkit_starter.users.schemas import UserCreate, UserRead

router = APIRouter(tags=["users"])


@router.post(
    "/users",
    response_model=UserRead,
    status_code=201,
    openapi_extra=raises(DuplicateError, WeakPasswordError),
)
async def create_user(
    body: UserCreate, session: SessionDep, request: Request, response: Response
) -> User:
    """Register; the address and the name must be free."""
    weakness = weakness_of(body.password, username=body.username, email=body.email)
    if weakness is not None:
        fault = FieldProblem("/body/password", "weak-password", weakness)
        raise WeakPasswordError(errors=[fault])
    user = User(
        username=body.username,
        email=body.email,
        hashed_password=await hash_password(body.password),
    )
    session.add(user)
    await session.commit()
    response.headers["Location"] = f"{request.url.path}/{user.id}"
    return user
