"""How the text of a variable becomes a value."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, PlainSerializer, SecretStr
from pydantic_settings import NoDecode

from neonkit.auth import check_issuer_url
from neonkit.db import Driver
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, UrlError

_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
    "auto": "auto",
}


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _networks(value: object) -> object:
    parts = _split(value)
    return [_network(*each) for each in enumerate(parts, 1)] if isinstance(parts, list) else parts


def _network(at: int, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError(
            f"entry {at} is neither an address nor a network; write 10.0.0.7 or 10.0.0.0/8"
        ) from None


def _issuer_url(value: str) -> str:
    try:
        check_issuer_url(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return value


def _dsn(value: object) -> object:
    if isinstance(value, str):
        try:
            return Dsn.parse(value)
        except UrlError as error:
            raise ValueError(str(error).removeprefix("database URL: ")) from None
    return value


def _masked(value: Dsn | None) -> str | None:
    return None if value is None else value.masked


def _switch(value: object) -> object:
    if not isinstance(value, str):
        return value
    if (word := value.strip().lower()) not in _SWITCH:
        raise ValueError("must be true, false or auto")
    return _SWITCH[word]


def _fold(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _strip(value: object) -> object:
    return value.strip() or None if isinstance(value, str) else value


_LONGEST_WAIT = 86400 * 365
_LONGEST_LIFE = 10 * _LONGEST_WAIT

Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
Networks = Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_networks)]
# A dataclass would be taken apart by `model_dump`, password and all.
Url = Annotated[InstanceOf[Dsn] | None, BeforeValidator(_dsn), PlainSerializer(_masked)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)] | None
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_WAIT, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, le=_LONGEST_WAIT, allow_inf_nan=False)]
Lifetime = Annotated[int, Field(ge=1, le=_LONGEST_LIFE)]
Grace = Annotated[int, Field(ge=0, le=_LONGEST_LIFE)]
Switch = Annotated[Literal["auto"] | bool, BeforeValidator(_switch)]
Name = Annotated[str | None, BeforeValidator(_strip)]
DriverName = Annotated[Driver, BeforeValidator(_fold)]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_fold)
]
LogFormat = Annotated[Literal["json", "console"] | None, BeforeValidator(_fold)]
