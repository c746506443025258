"""The address of a database, as a value that prints without its password."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address, ip_address
from typing import Any, Self
from urllib.parse import quote, unquote_to_bytes

from neonkit.dsn import _neon
from neonkit.dsn._parameters import check_parameter
from neonkit.dsn._tls import asyncpg_mode_of, mode_of, ssl_argument
from neonkit.errors import UrlError

_SHAPE = "it should look like postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=require"
_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")
_PASTED = re.compile(r"(?:psql\s+)?(?P<quote>['\"]?)(?P<url>.*)(?P=quote)", re.DOTALL)
_UNPRINTED = re.compile(r"[\x00-\x20\x7f]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z")
_DEFAULT_PORT = 5432


@dataclass(frozen=True)
class Dsn:
    """Where a database is, and how to log in.

    Attributes:
        user: the role.
        host: a name or an address, in lower case, without brackets.
        database: its name; the role's where the URL names none, as in libpq.
        password: never printed.
        port: 5432 by default.
        parameters: what follows the `?`, checked.
    """

    user: str
    host: str
    database: str
    password: str | None = field(default=None, repr=False)
    port: int = _DEFAULT_PORT
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL, as Neon's console prints it or as libpq takes it.

        A `psql` command around it, quotes and outer white space are taken off.

        Raises:
            UrlError: which part is wrong, and what it should look like; holds no secret.
        """
        url = _unwrap(text)
        authority, path, query = _split(url)
        user, password, address = _split_authority(authority)
        host, port = _host_and_port(address)
        _neon.check_host(host)
        return cls(
            user=user,
            host=host,
            database=_database(path) or user,
            password=password,
            port=port,
            parameters=_read_query(query),
        )

    @property
    def is_neon(self) -> bool:
        """True if the host is one of Neon's."""
        return _neon.is_neon(self.host)

    @property
    def is_pooled(self) -> bool:
        """True if the host is a Neon pooler."""
        return _neon.is_pooled(self.host)

    @property
    def is_local(self) -> bool:
        """True if the host is this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def sslmode(self) -> str:
        """The URL's own, else `require` for Neon and libpq's own `prefer` elsewhere."""
        return mode_of(self.parameters, is_neon=self.is_neon)

    def direct(self) -> Self:
        """The same database without the pooler; unchanged where the host is not Neon's."""
        return self._through_pooler(is_wanted=False)

    def pooled(self) -> Self:
        """The same database through Neon's pooler; unchanged where the host is not Neon's."""
        return self._through_pooler(is_wanted=True)

    def _through_pooler(self, *, is_wanted: bool) -> Self:
        if not self.is_neon:
            return self
        host = _neon.with_pooler(self.host, is_wanted=is_wanted)
        parameters = dict(self.parameters)
        if "options" in parameters:
            parameters["options"] = _neon.with_endpoint(parameters["options"], host)
        return self.replace(host=host, parameters=parameters)

    def replace(self, **changes: Any) -> Self:  # the fields' own types
        """A copy with other fields."""
        return dataclasses.replace(self, **changes)

    def with_options(self, settings: Mapping[str, str]) -> Self:
        """A copy whose start-up `options` also set server parameters, unless the URL does.

        For direct connections only: a transaction pooler refuses them.
        """
        given = self.parameters.get("options", "")
        added = [f"-c {name}={value}" for name, value in settings.items() if name not in given]
        options = " ".join(part for part in (given, *added) if part)
        return self.replace(parameters={**self.parameters, "options": options})

    @property
    def masked(self) -> str:
        """The URL with `***` for the password."""
        return self._render("***" if self.password else None)

    def for_libpq(self) -> str:
        """The whole URL, password included; `Dsn.parse` gives the same value back."""
        return self._render(None if self.password is None else quote(self.password, safe=""))

    def for_psycopg(self) -> dict[str, str]:
        """Keywords for `psycopg.connect`, all of them libpq's."""
        keywords = {
            "user": self.user,
            "host": self.host,
            "port": str(self.port),
            "dbname": self.database,
            **self.parameters,
            "sslmode": self.sslmode,
        }
        return keywords if self.password is None else {**keywords, "password": self.password}

    def for_asyncpg(self) -> dict[str, Any]:
        """Keywords for `asyncpg.connect`; those of TCP are the socket's (`dead_peers`).

        Raises:
            UrlError: a parameter requires what asyncpg cannot give, or a file cannot be used.
        """
        mode = asyncpg_mode_of(self.parameters, is_neon=self.is_neon)
        server_settings = {
            name.removeprefix("fallback_"): self.parameters[name]
            for name in ("fallback_application_name", "application_name", "options")
            if name in self.parameters
        }
        keywords: dict[str, Any] = {
            "user": self.user,
            "password": self.password,
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "ssl": ssl_argument(mode, self.parameters),
            "server_settings": server_settings,
        }
        if self.parameters.get("sslnegotiation") == "direct":
            keywords["direct_tls"] = True
        if "target_session_attrs" in self.parameters:
            keywords["target_session_attrs"] = self.parameters["target_session_attrs"]
        if int(self.parameters.get("connect_timeout", 0)):
            keywords["timeout"] = float(self.parameters["connect_timeout"])
        return keywords

    @property
    def requires_binding(self) -> bool:
        """True if a login must be bound to its TLS channel (`channel_binding=require`)."""
        return self.parameters.get("channel_binding") == "require"

    @property
    def asyncpg_refusal(self) -> UrlError | None:
        """Why asyncpg may not be used: it cannot give what this URL requires. Reads no file."""
        try:
            asyncpg_mode_of(self.parameters, is_neon=self.is_neon)
        except UrlError as refusal:
            return refusal
        return None

    def _render(self, password: str | None) -> str:
        login = quote(self.user, safe="") + ("" if password is None else f":{password}")
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORT else f":{self.port}"
        query = "&".join(
            f"{name}={quote(value, safe='')}" for name, value in self.parameters.items()
        )
        url = f"postgresql://{login}@{host}{port}/{quote(self.database, safe='')}"
        return f"{url}?{query}" if query else url

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"Dsn({self.masked!r})"

    def __hash__(self) -> int:
        return hash(self.for_libpq())


def _unwrap(text: str) -> str:
    found = _PASTED.fullmatch(text.strip())
    url = found["url"].strip() if found else text.strip()
    if not url:
        raise UrlError("url", f"it is empty; {_SHAPE}")
    if _UNPRINTED.search(url):
        raise UrlError("url", f"it holds white space or a control character; {_SHAPE}")
    return url


def _split(url: str) -> tuple[str, str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise UrlError("scheme", f"it must be postgresql:// or postgres://; {_SHAPE}")
    if "#" in rest:
        raise UrlError("url", "it holds a #; write %23 for it, in a password too")
    body, _, query = rest.partition("?")
    authority, _, path = body.partition("/")
    if "@" not in authority and "@" in rest:
        raise UrlError("password", "it holds a / or a ?; write %2F or %3F for it")
    return authority, path, query


def _split_authority(authority: str) -> tuple[str, str | None, str]:
    login, at, address = authority.rpartition("@")
    if not at:
        raise UrlError("user", f"there is none; {_SHAPE}")
    if "@" in login:
        raise UrlError("password", "it holds an @; write %40 for it")
    user, colon, password = login.partition(":")
    if not user:
        raise UrlError("user", f"it is empty; {_SHAPE}")
    return _decode("user", user), _decode("password", password) if colon else None, address


def _host_and_port(address: str) -> tuple[str, int]:
    if "," in address:
        raise UrlError("host", "there must be one; several are not supported")
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UrlError("host", "an IPv6 address stands in brackets, as in [::1]:5432")
        return _ipv6(host), _port(rest[1:] if rest else None)
    host, colon, port = address.partition(":")
    if ":" in port:
        raise UrlError("host", "an IPv6 address stands in brackets, as in [::1]:5432")
    return _host_name(_decode("host", host)), _port(port if colon else None)


def _ipv6(host: str) -> str:
    try:
        return str(IPv6Address(host))
    except AddressValueError:
        raise UrlError("host", "what stands in brackets is not an IPv6 address") from None


def _host_name(host: str) -> str:
    if not host:
        raise UrlError("host", f"it is empty; {_SHAPE}")
    if not _HOST_NAME.match(host):
        raise UrlError("host", "it is not a host name: letters, digits, dots and hyphens")
    return host.lower()


def _port(port: str | None) -> int:
    if port is None or port == "":
        return _DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):  # noqa: PLR2004  # TCP's
        raise UrlError("port", "it must be a number from 1 to 65535; Neon's is 5432")
    return int(port)


def _database(path: str) -> str:
    if "/" in path:
        raise UrlError("database", "there must be one name after the host; write %2F for a /")
    return _decode("database", path)


def _read_query(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        name = _decode("parameter", name)
        if not equals:
            raise UrlError("parameter", "each one is written name=value")
        if name in parameters:
            raise UrlError(name, "it stands there twice; leave one")
        value = _decode(name if name.isidentifier() else "parameter", value)
        check_parameter(name, value)
        parameters[name] = value
    return parameters


def _decode(part: str, text: str) -> str:
    if _BROKEN_ESCAPE.search(text):
        raise UrlError(part, "a % must begin an escape such as %40; write %25 for a % itself")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise UrlError(part, "its escapes are not valid UTF-8") from None
    if "\x00" in decoded:
        raise UrlError(part, "it must not hold a NUL character")
    return decoded
