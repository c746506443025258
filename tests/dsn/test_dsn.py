"""Paste any Neon URL and it works; a wrong one says which part, and what it should look like."""

import copy
import logging
import pickle
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
from asyncpg.connect_utils import _parse_connect_arguments
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from neonkit import create_engine
from neonkit.dsn import Dsn
from neonkit.errors import UrlError

EP = "ep-cool-darkness-123456"
DIRECT = f"{EP}.us-east-2.aws.neon.tech"
POOLED = f"{EP}-pooler.us-east-2.aws.neon.tech"
CELL = f"{EP}.c-2.us-east-2.aws.neon.tech"
SECRET = "npg_hunter2"
LOGIN = f"ada:{SECRET}"
CONSOLE = "sslmode=require&channel_binding=require"

GOOD = [
    f"postgresql://{LOGIN}@{DIRECT}/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{POOLED}/neondb?{CONSOLE}",
    f"postgres://{LOGIN}@{DIRECT}/neondb?sslmode=require",
    f"postgresql+asyncpg://{LOGIN}@{DIRECT}/neondb",
    f"postgresql+psycopg://{LOGIN}@{DIRECT}/neondb",
    f"POSTGRESQL://{LOGIN}@{DIRECT}/neondb",
    f"psql 'postgresql://{LOGIN}@{DIRECT}/neondb?{CONSOLE}'",
    f'"postgresql://{LOGIN}@{DIRECT}/neondb?{CONSOLE}"',
    f"'postgresql://{LOGIN}@{DIRECT}/neondb'",
    f"  postgresql://{LOGIN}@{DIRECT}/neondb?{CONSOLE}\n",
    f"postgresql://{LOGIN}@{DIRECT}:5432/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{CELL}/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{EP}-pooler.c-8.us-east-1.aws.neon.tech/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{EP}.germanywestcentral.azure.neon.tech/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{DIRECT.upper()}/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=require&options=endpoint%3D{EP}",
    f"postgresql://{LOGIN}@{POOLED}/neondb?options=endpoint%3D{EP}-pooler&{CONSOLE}",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?options=project%3D{EP}",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?options=-c%20statement_timeout%3D5s",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?options=endpoint%3D{EP}%20-c%20a.b%3D1",
    f"postgresql://ada:endpoint%3D{EP}%3B{SECRET}@{DIRECT}/neondb?{CONSOLE}",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=disable",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=allow",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=prefer",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=require",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=verify-full",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslmode=verify-full&sslrootcert=system",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?channel_binding=prefer",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?channel_binding=disable",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?application_name=my%20app",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?connect_timeout=10",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?connect_timeout=0",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?sslnegotiation=direct&sslmode=require",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?keepalives=1&keepalives_idle=30",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?keepalives_interval=5&keepalives_count=3",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?tcp_user_timeout=5000",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?target_session_attrs=read-write",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?client_encoding=utf8",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?gssencmode=disable",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?",
    f"postgresql://{LOGIN}@{DIRECT}/neondb?&sslmode=require&",
    f"postgresql://{LOGIN}@{DIRECT}/",
    f"postgresql://{LOGIN}@{DIRECT}",
    f"postgresql://ada@{DIRECT}/neondb",
    f"postgresql://ada:@{DIRECT}/neondb",
    f"postgresql://ada%40corp:{SECRET}@{DIRECT}/neondb",
    f"postgresql://ada:p%40ss%2Fw%3Ard%23%3F%25@{DIRECT}/neondb",
    f"postgresql://ada:a:b@{DIRECT}/neondb",
    f"postgresql://ada:%C3%A9t%C3%A9@{DIRECT}/neondb",
    f"postgresql://{LOGIN}@{DIRECT}/my%20data%2Fbase",
    "postgresql://neon:npg@localhost:5432/neondb?sslmode=require",
    "postgresql://postgres@localhost/postgres",
    "postgresql://postgres:x@127.0.0.1:6432/postgres",
    "postgresql://postgres:x@[::1]/postgres",
    "postgresql://postgres:x@[2001:db8::1]:5433/postgres?sslmode=disable",
    "postgresql://postgres:x@db_1.internal./postgres",
    "postgresql://postgres:x@my-bouncer.example.com:6432/app",
]  # fmt: skip

BAD = [
    ("", "url"),
    ("   ", "url"),
    (f"postgresql://{LOGIN}@{DIRECT}/neon db", "url"),
    (f"postgresql://ada:{SECRET}#1@{DIRECT}/neondb", "url"),
    (f"mysql://{LOGIN}@{DIRECT}/neondb", "scheme"),
    (f"{LOGIN}@{DIRECT}/neondb", "scheme"),
    (f"https://{LOGIN}@{DIRECT}", "scheme"),
    (f"postgresql+psycopg2://{LOGIN}@{DIRECT}/neondb", "scheme"),
    (f"postgresql:{LOGIN}@{DIRECT}", "scheme"),
    (f"postgresql://{DIRECT}/neondb", "user"),
    (f"postgresql://:{SECRET}@{DIRECT}/neondb", "user"),
    (f"postgresql://a%ZZ:{SECRET}@{DIRECT}/neondb", "user"),
    (f"postgresql://a%00:{SECRET}@{DIRECT}/neondb", "user"),
    (f"postgresql://ada:{SECRET}@x@{DIRECT}/neondb", "password"),
    (f"postgresql://ada:{SECRET}/x@{DIRECT}/neondb", "password"),
    (f"postgresql://ada:{SECRET}?x@{DIRECT}/neondb", "password"),
    (f"postgresql://ada:{SECRET}%@{DIRECT}/neondb", "password"),
    (f"postgresql://ada:{SECRET}%FF@{DIRECT}/neondb", "password"),
    (f"postgresql://{LOGIN}@/neondb", "host"),
    (f"postgresql://{LOGIN}@a..b/neondb", "host"),
    (f"postgresql://{LOGIN}@-a/neondb", "host"),
    (f"postgresql://{LOGIN}@h$st/neondb", "host"),
    (f"postgresql://{LOGIN}@::1/neondb", "host"),
    (f"postgresql://{LOGIN}@[::1/neondb", "host"),
    (f"postgresql://{LOGIN}@[nope]/neondb", "host"),
    (f"postgresql://{LOGIN}@[::1]x/neondb", "host"),
    (f"postgresql://{LOGIN}@a,b/neondb", "host"),
    (f"postgresql://{LOGIN}@ep-x.neonauth.us-east-1.aws.neon.tech/neondb", "host"),
    (f"postgresql://{LOGIN}@ep-x.apirest.us-east-1.aws.neon.tech/neondb", "host"),
    (f"postgresql://{LOGIN}@api.us-east-1.aws.neon.tech/neondb", "host"),
    (f"postgresql://{LOGIN}@{DIRECT}:0/neondb", "port"),
    (f"postgresql://{LOGIN}@{DIRECT}:65536/neondb", "port"),
    (f"postgresql://{LOGIN}@{DIRECT}:54x/neondb", "port"),
    (f"postgresql://{LOGIN}@{DIRECT}:-1/neondb", "port"),
    (f"postgresql://{LOGIN}@{DIRECT}/a/b", "database"),
    (f"postgresql://{LOGIN}@{DIRECT}/a%2", "database"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?sslmode", "parameter"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?sslmod=require", "parameter"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?pgbouncer=true", "parameter"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?password={SECRET}", "parameter"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?{SECRET}!=1", "parameter"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?sslmode=yes", "sslmode"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?sslmode=require&sslmode=disable", "sslmode"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?channel_binding=maybe", "channel_binding"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?connect_timeout=soon", "connect_timeout"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?connect_timeout=-1", "connect_timeout"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?application_name=a%0Ab", "application_name"),
    (f"postgresql://{LOGIN}@{DIRECT}/d?options=%zz", "options"),
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_a_good_url_reaches_each_driver(url: str) -> None:
    """Each form is read, and each driver's own reader takes what is rendered for it."""
    dsn = Dsn.parse(url)

    assert Dsn.parse(dsn.for_libpq()) == dsn
    keywords = dsn.for_asyncpg()
    keywords.pop("timeout", None)
    addresses, parameters, *_ = _parse_connect_arguments(
        dsn=None,
        service=None,
        servicefile=None,
        passfile=None,
        command_timeout=None,
        statement_cache_size=0,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        krbsrvname=None,
        gsslib=None,
        **{"direct_tls": False, "target_session_attrs": None} | keywords,
    )
    assert addresses == [(dsn.host, dsn.port)]
    assert (parameters.user, parameters.database) == (dsn.user, dsn.database)
    assert parameters.password == dsn.password
    libpq = conninfo_to_dict(make_conninfo(**dsn.for_psycopg()))
    assert (libpq["host"], libpq["dbname"]) == (dsn.host, dsn.database)
    assert conninfo_to_dict(dsn.for_libpq())["user"] == dsn.user


@pytest.mark.parametrize(("url", "part"), BAD)
def test_a_bad_url_names_its_part_and_no_secret(url: str, part: str) -> None:
    """A malformed URL says which part is wrong, never the password."""
    with pytest.raises(UrlError) as caught:
        Dsn.parse(url)

    assert caught.value.part == part
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "direct", "pooled"),
    [
        (DIRECT, DIRECT, POOLED),
        (POOLED, DIRECT, POOLED),
        (CELL, CELL, CELL.replace(EP, EP + "-pooler")),
        ("a-pooler.example.com", "a-pooler.example.com", "a-pooler.example.com"),
        ("localhost", "localhost", "localhost"),
    ],
)
def test_only_neons_first_label_is_rewritten(url: str, direct: str, pooled: str) -> None:
    """Direct and pooled hosts of Neon differ in the first label; other hosts are left alone."""
    dsn = Dsn.parse(f"postgresql://ada@{url}/d")

    assert (dsn.direct().host, dsn.pooled().host) == (direct, pooled)
    assert dsn.is_pooled == (url == POOLED)


def test_the_endpoint_option_follows_the_host() -> None:
    """Neon refuses an `endpoint=` that differs from the host: both are rewritten together."""
    dsn = Dsn.parse(f"postgresql://ada@{DIRECT}/d?options=endpoint%3D{EP}%20-c%20a.b%3D1")

    assert dsn.pooled().parameters["options"] == f"endpoint={EP}-pooler -c a.b=1"
    assert dsn.pooled().direct() == dsn


def test_options_of_the_url_win() -> None:
    """A server setting that the URL gives is not set a second time."""
    dsn = Dsn.parse(f"postgresql://ada@{DIRECT}/d?options=-c%20statement_timeout%3D9s")

    options = dsn.with_options({"statement_timeout": "5000", "lock_timeout": "2000"})
    assert options.parameters["options"] == "-c statement_timeout=9s -c lock_timeout=2000"


@pytest.mark.parametrize(
    ("query", "verifies", "checks_name"),
    [
        ("", False, False),
        ("?sslmode=require", False, False),
        ("?sslmode=verify-full", True, True),
        ("?sslmode=verify-full&sslrootcert=system", True, True),
        ("?sslmode=require&sslrootcert={root}", True, False),
        ("?sslmode=verify-ca&sslrootcert={root}", True, False),
        ("?sslmode=verify-ca", True, False),
    ],
)
def test_tls_means_what_libpq_means(query: str, *, verifies: bool, checks_name: bool) -> None:
    """`require` encrypts; with a root certificate, or in the verify modes, the chain is checked."""
    root = ssl.get_default_verify_paths().cafile
    url = f"postgresql://ada@{DIRECT}/d{query.format(root=quote(str(root)))}"
    context = Dsn.parse(url).for_asyncpg()["ssl"]

    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == (ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE)
    assert context.check_hostname == checks_name


@pytest.mark.parametrize(
    ("query", "argument"),
    [("?sslmode=disable", False), ("?sslmode=allow", "allow"), ("", "prefer")],
)
def test_modes_that_may_end_without_tls(query: str, argument: object) -> None:
    """`disable`, `allow` and `prefer` are left to asyncpg, which plays them as libpq does."""
    assert Dsn.parse(f"postgresql://ada@localhost/d{query}").for_asyncpg()["ssl"] == argument


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    """A root certificate that cannot be read is a fault of that parameter."""
    url = f"postgresql://ada@h/d?sslmode=verify-ca&sslrootcert={tmp_path}/none.pem"

    with pytest.raises(UrlError, match="sslrootcert"):
        Dsn.parse(url).for_asyncpg()


@pytest.mark.parametrize(
    "mode", ["", "&sslmode=require", "&sslmode=verify-ca", "&sslmode=verify-full"]
)
@pytest.mark.parametrize("root", ["", "&sslrootcert={root}"])
@pytest.mark.parametrize("host", [DIRECT, POOLED])
def test_a_required_binding_is_a_verified_certificate_at_neon(
    host: str, root: str, mode: str
) -> None:
    """Chain and name are verified where the URL requires one: asyncpg has no channel binding."""
    file = quote(str(ssl.get_default_verify_paths().cafile))
    url = f"postgresql://ada@{host}/d?channel_binding=require{mode}{root.format(root=file)}"
    dsn = Dsn.parse(url)
    context = dsn.for_asyncpg()["ssl"]

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert dsn.asyncpg_refusal is None
    assert dsn.for_psycopg()["channel_binding"] == "require"


REQUIRED = [
    ("h.example", "channel_binding=require&sslmode=require", "channel_binding"),
    ("h.example", "channel_binding=require", "channel_binding"),
    ("h.example", "channel_binding=require&sslmode=verify-ca", "channel_binding"),
    ("localhost", "channel_binding=require&sslmode=require", "channel_binding"),
    ("neon.tech.example", "channel_binding=require&sslmode=require", "channel_binding"),
    (DIRECT, "channel_binding=require&sslmode=disable", "channel_binding"),
    (DIRECT, "channel_binding=require&sslmode=prefer", "channel_binding"),
    ("h.example", "sslnegotiation=direct", "sslnegotiation"),
    ("h.example", "sslnegotiation=direct&sslmode=allow", "sslnegotiation"),
    ("h.example", "sslcert=a&sslkey=b", "sslcert"),
    ("h.example", "sslkey=b&sslmode=require", "sslkey"),
    ("h.example", "sslrootcert=a", "sslrootcert"),
    ("h.example", "sslrootcert=a&sslmode=prefer", "sslrootcert"),
    ("h.example", "sslrootcert=system&sslmode=require", "sslrootcert"),
    ("h.example", "sslrootcert=system&sslmode=disable", "sslrootcert"),
]


@pytest.mark.parametrize(("host", "query", "part"), REQUIRED)
def test_what_was_required_is_refused_rather_than_dropped(host: str, query: str, part: str) -> None:
    """Each names its parameter and a way out, before anything is connected."""
    dsn = Dsn.parse(f"postgresql://ada@{host}/d?{query}")

    with pytest.raises(UrlError, match=r"sslmode=verify-full|leave it out|no sslcert") as caught:
        dsn.for_asyncpg()
    assert caught.value.part == part
    assert str(dsn.asyncpg_refusal) == str(caught.value)
    with pytest.raises(UrlError):
        create_engine(dsn)


@pytest.mark.parametrize(
    "query",
    ["channel_binding=require&sslmode=verify-full", "channel_binding=require&sslrootcert=system"],
)
def test_a_verified_certificate_stands_in_for_the_binding(query: str) -> None:
    """At any host, where the URL itself asks for `verify-full`."""
    context = Dsn.parse(f"postgresql://ada@h.example/d?{query}").for_asyncpg()["ssl"]

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    "url", [f"postgresql://ada@{DIRECT}/d?{CONSOLE}", "postgresql://ada@h/d?sslmode=verify-full"]
)
def test_a_system_without_root_certificates(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to verify with: refused, with what to install or to name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    with pytest.raises(UrlError, match="ca-certificates"):
        Dsn.parse(url).for_asyncpg()


LIBPQ = sorted(
    option.keyword.decode()
    for option in pq.Conninfo.get_defaults()
    if not option.keyword.startswith(b"_")
)


@pytest.mark.parametrize("name", LIBPQ)
def test_every_parameter_of_libpq_is_had_or_refused(name: str) -> None:
    """Each that this libpq knows is read, or refused by its name and not as a misspelling."""
    said = _refusal_of(f"postgresql://ada@h/d?{name}=1")

    assert said is None or name in said
    assert "there is no parameter" not in (said or "")


def _refusal_of(url: str) -> str | None:
    try:
        Dsn.parse(url)
    except UrlError as refusal:
        return str(refusal)
    return None


def test_a_name_for_the_log_of_the_server() -> None:
    """`fallback_application_name` counts where nothing else names the client, on both drivers."""
    fallback = Dsn.parse("postgresql://ada@h/d?fallback_application_name=b")
    both = fallback.replace(parameters={"application_name": "a", **fallback.parameters})

    assert fallback.for_asyncpg()["server_settings"] == {"application_name": "b"}
    assert both.for_asyncpg()["server_settings"] == {"application_name": "a"}


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(
    user=TEXT,
    password=st.none() | TEXT,
    database=TEXT,
    name=TEXT.filter(str.isprintable),
    port=st.integers(1, 65535),
    host=st.sampled_from([DIRECT, POOLED, "localhost", "::1", "10.0.0.1"]),
)
@example(user="%", password="@/:?#[]%41", database="a/b", name=" ", port=5432, host="::1")
def test_parsing_undoes_rendering(
    user: str, password: str | None, database: str, name: str, port: int, host: str
) -> None:
    """Whatever the parts hold, the rendered URL reads back as the same value."""
    dsn = Dsn(user, host, database, password, port, {"application_name": name})

    assert Dsn.parse(dsn.for_libpq()) == dsn
    assert pickle.loads(pickle.dumps(dsn)) == copy.copy(dsn) == dsn
    assert hash(copy.copy(dsn)) == hash(dsn)


@given(
    st.text(st.sampled_from("@/?#%&=:[] \n'\"\\éä\0"), max_size=4),
    st.text(st.sampled_from("@/?#%&=:[] \n'\"\\éä\0"), max_size=4),
)
def test_no_password_in_anything_printed(before: str, after: str) -> None:
    """However a URL is mangled, neither its errors nor its prints hold the password."""
    url = f"postgresql://ada:{before}Tr0ub4dor{after}@{DIRECT}/neondb"
    try:
        dsn = Dsn.parse(url)
        printed = f"{dsn} {dsn!r} {dsn.masked} {[dsn]}"
        printed += logging.makeLogRecord({"msg": "%s", "args": (dsn,)}).getMessage()
    except UrlError as error:
        printed = f"{error} {error!r} {error.__context__ and error.__suppress_context__}"

    assert "Tr0ub4dor" not in printed
