"""The header `Authorization: Bearer …` (RFC 6750), read strictly."""

from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from neonkit.errors import UnauthorizedError

SCHEME = "Bearer"


class BearerScheme(SecurityBase):
    """FastAPI's scheme for it, in the schema; what reads the token says what it makes of it."""

    def __init__(self) -> None:
        self.scheme_name = SCHEME
        self.model = BearerModel(bearerFormat="JWT")


def bearer_token(connection: HTTPConnection) -> str:
    """The token of the one `Authorization` header; a query parameter is never looked at.

    Raises:
        UnauthorizedError: there is no such header, more than one, or one of another scheme.
    """
    headers = connection.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError
    return token.strip()
