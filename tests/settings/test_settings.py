"""The environment is read once; what is wrong is refused with its fix, what is unwise is said."""

import os
from pathlib import Path

import pytest

from neonkit.db import PoolPolicy, TimeoutPolicy
from neonkit.errors import ConfigurationError
from neonkit.settings import LaunchSettings, Settings
from neonkit_starter.settings import StarterSettings

DIRECT = "postgresql://ada:hunter2@ep-x-1.eu-central-1.aws.neon.tech/neondb?sslmode=require"
POOLED = DIRECT.replace("ep-x-1", "ep-x-1-pooler")
LOCAL = "postgresql://ada:hunter2@127.0.0.1/app"
ELSEWHERE = "postgresql://ada:hunter2@db.example.com/app"
KEY = "an0ther-l0ng-and-quite-r4ndom-signing-key"
OLD = "0a1B2c3D4e5F6g7H8i9J"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a `.env` nor a variable of this machine is seen."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_nothing_set_is_development_on_an_embedded_database() -> None:
    """Without a variable everything has its default, and nothing is refused."""
    settings = Settings()

    assert settings.traffic_dsn is None
    assert not settings.is_production
    assert settings.warnings == ()
    assert settings.pool_policy() == PoolPolicy(5, 10, 240, 5)
    assert settings.timeout_policy() == TimeoutPolicy(12, 5, 2, 15)


@pytest.mark.parametrize(
    ("variables", "traffic", "direct"),
    [
        ({"NEON_DATABASE_URL": DIRECT}, POOLED, DIRECT),
        ({"NEON_POOLED_DATABASE_URL": POOLED}, POOLED, DIRECT),
        ({"NEON_DATABASE_URL": DIRECT, "NEON_POOLED_DATABASE_URL": POOLED}, POOLED, DIRECT),
        ({"DATABASE_URL": POOLED}, POOLED, DIRECT),
        ({"DATABASE_URL": DIRECT}, POOLED, DIRECT),
        ({"DATABASE_URL_UNPOOLED": DIRECT}, POOLED, DIRECT),
        ({"DATABASE_URL": POOLED, "DATABASE_URL_UNPOOLED": DIRECT}, POOLED, DIRECT),
        ({"POSTGRES_URL": POOLED}, POOLED, DIRECT),
        ({"POSTGRES_URL": DIRECT}, POOLED, DIRECT),
        ({"POSTGRES_URL": LOCAL, "DATABASE_URL": DIRECT}, POOLED, DIRECT),
        ({"POSTGRES_URL": POOLED, "DATABASE_URL": DIRECT}, POOLED, DIRECT),
        ({"POSTGRES_URL": POOLED, "DATABASE_URL": LOCAL}, POOLED, LOCAL),
        ({"POSTGRES_URL": LOCAL, "DATABASE_URL_UNPOOLED": DIRECT}, POOLED, DIRECT),
        ({"NEON_DATABASE_URL": LOCAL}, LOCAL, LOCAL),
        ({"DATABASE_URL": LOCAL}, LOCAL, LOCAL),
        ({"NEON_DATABASE_URL": POOLED}, POOLED, DIRECT),
        ({"DATABASE_URL_UNPOOLED": POOLED}, POOLED, DIRECT),
        ({"NEON_DATABASE_URL": LOCAL, "DATABASE_URL": DIRECT}, LOCAL, LOCAL),
        ({"NEON_DATABASE_URL": LOCAL, "DATABASE_URL_UNPOOLED": DIRECT}, LOCAL, LOCAL),
        ({"DATABASE_URL_UNPOOLED": LOCAL, "DATABASE_URL": DIRECT}, LOCAL, LOCAL),
        ({"NEON_POOLED_DATABASE_URL": ELSEWHERE, "NEON_DATABASE_URL": LOCAL}, ELSEWHERE, LOCAL),
    ],
)
def test_one_url_is_enough(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], traffic: str, direct: str
) -> None:
    """Traffic goes through Neon's pooler, migrations never do; either URL gives the other."""
    _set(monkeypatch, ENVIRONMENT="test", **variables)
    settings = Settings()

    assert settings.traffic_dsn is not None
    assert settings.direct_dsn is not None
    assert settings.traffic_dsn.for_libpq() == traffic
    assert settings.direct_dsn.for_libpq() == direct


@pytest.mark.parametrize("variable", ["NEON_DATABASE_URL", "DATABASE_URL_UNPOOLED"])
def test_a_pooled_host_in_a_direct_variable_is_reported(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is mended, and said of the variable that holds it."""
    _set(monkeypatch, ENVIRONMENT="test", **{variable: POOLED})

    assert Settings().warnings == (
        f"{variable} names the pooler: migrations will go to the direct host instead",
    )


def test_another_pooler_gives_no_direct_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations never go through a pooler, so that one of unknown kind leaves them without."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_POOLED_DATABASE_URL=LOCAL)
    settings = Settings()

    assert settings.traffic_dsn is not None
    assert settings.direct_dsn is None
    assert [each for each in settings.warnings if "set NEON_DATABASE_URL too" in each]


@pytest.mark.parametrize(
    ("pooled", "direct", "are_two"),
    [
        (POOLED, DIRECT, False),
        (POOLED, POOLED, False),
        (POOLED, DIRECT.replace("eu-central-1", "c-2.eu-central-1"), False),
        (POOLED, DIRECT.replace("ep-x-1", "ep-y-2"), True),
        (POOLED, DIRECT.replace("/neondb", "/other"), True),
        (POOLED, LOCAL, True),
        (LOCAL, DIRECT, False),
        (ELSEWHERE, LOCAL, False),
    ],
)
def test_traffic_and_migrations_on_two_databases_are_reported(
    monkeypatch: pytest.MonkeyPatch, pooled: str, direct: str, *, are_two: bool
) -> None:
    """Where Neon's names show that the two URLs do not belong together, that is said."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_POOLED_DATABASE_URL=pooled, NEON_DATABASE_URL=direct)
    said = [each for each in Settings().warnings if "name different databases" in each]

    assert bool(said) == are_two


@pytest.mark.parametrize(
    ("variables", "is_production"),
    [
        ({}, False),
        ({"NEON_DATABASE_URL": LOCAL}, False),
        ({"NEON_DATABASE_URL": ELSEWHERE, "SECRET_KEY": KEY}, True),
        ({"NEON_DATABASE_URL": ELSEWHERE, "ENVIRONMENT": "development"}, False),
        ({"NEON_DATABASE_URL": ELSEWHERE, "ENVIRONMENT": "Test"}, False),
        ({"NEON_DATABASE_URL": LOCAL, "SECRET_KEY": KEY, "ENVIRONMENT": "production"}, True),
        ({"NEON_DATABASE_URL": LOCAL, "SECRET_KEY": KEY, "ENVIRONMENT": "staging"}, True),
        ({"NEON_DATABASE_URL": LOCAL, "ENVIRONMENT": ""}, False),
        ({"NEON_DATABASE_URL": LOCAL, "ENVIRONMENT": " test "}, False),
    ],
)
def test_which_environment_it_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, is_production: bool
) -> None:
    """A name other than development and test is production; without one the host decides."""
    _set(monkeypatch, **variables)

    assert Settings().is_production == is_production


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LOCK_TIMEOUT": "5"}, "LOCK_TIMEOUT (5) must be smaller than STATEMENT_TIMEOUT (5)"),
        ({"STATEMENT_TIMEOUT": "15"}, "must be smaller than REQUEST_TIMEOUT (15)"),
        ({"POOL_TIMEOUT": "15"}, "POOL_TIMEOUT (15) must be smaller"),
        ({"CONNECT_TIMEOUT": "20"}, "CONNECT_TIMEOUT (20) must be smaller"),
        ({"DRAIN_SECONDS": "25"}, "DRAIN_SECONDS (25) must be smaller than SHUTDOWN_TIMEOUT (25)"),
        ({"POOL_SIZE": "many"}, "POOL_SIZE"),
        ({"POOL_SIZE": "0"}, "POOL_SIZE"),
        ({"PORT": "70000"}, "PORT"),
        ({"DATABASE_DRIVER": "mysql"}, "DATABASE_DRIVER"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,hunter2"}, "TRUSTED_PROXIES: entry 2 is neither"),
        ({"TRUSTED_PROXIES": "10.0.0.5/8"}, "TRUSTED_PROXIES: entry 1 is neither"),
        ({"SCALE_TO_ZERO": "hunter2"}, "SCALE_TO_ZERO: must be true, false or auto"),
        ({"POOLER_TRACKS_STATEMENTS": "si"}, "POOLER_TRACKS_STATEMENTS: must be true, false or"),
        ({"DEBUG": "hunter2"}, "DEBUG"),
        ({"MAX_OVERFLOW": "-1"}, "MAX_OVERFLOW"),
        ({"POOL_RECYCLE": "0"}, "POOL_RECYCLE"),
        ({"REQUEST_TIMEOUT": "nan"}, "REQUEST_TIMEOUT"),
        ({"DRAIN_SECONDS": "inf"}, "DRAIN_SECONDS: Input should be a finite number"),
        ({"ACCESS_TOKEN_TTL": "0"}, "ACCESS_TOKEN_TTL"),
        ({"REFRESH_TOKEN_TTL": "9" * 30}, "REFRESH_TOKEN_TTL"),
        ({"REFRESH_TOKEN_GRACE": "-1"}, "REFRESH_TOKEN_GRACE"),
        ({"WORKERS": "0"}, "WORKERS"),
        ({"MAX_BODY_BYTES": "0"}, "MAX_BODY_BYTES"),
        ({"RATE_LIMIT_ENABLED": "perhaps"}, "RATE_LIMIT_ENABLED"),
        ({"LOGIN_MAX_FAILURES": "0"}, "LOGIN_MAX_FAILURES"),
        ({"LOGIN_WINDOW": "0"}, "LOGIN_WINDOW"),
        ({"IDEMPOTENCY_TTL": "0"}, "IDEMPOTENCY_TTL"),
        ({"SLOW_QUERY_SECONDS": "-1"}, "SLOW_QUERY_SECONDS"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        ({"SHUTDOWN_TIMEOUT": "soon"}, "SHUTDOWN_TIMEOUT"),
        ({"APP_NAME": "x" * 64}, "APP_NAME"),
        ({"DATABASE_DRIVER": "psycopg2"}, "DATABASE_DRIVER: Input should be 'asyncpg' or"),
        ({"DATABASE_URL": "mysql://a:hunter2@h/d"}, "DATABASE_URL: scheme: it must be"),
        ({"DATABASE_URL_UNPOOLED": "x"}, "  DATABASE_URL_UNPOOLED: scheme: it must be"),
        ({"NEON_POOLED_DATABASE_URL": "x"}, "NEON_POOLED_DATABASE_URL: scheme: it must be"),
        ({"NEON_DATABASE_URL": "postgresql://a:hunter2@x@h/d"}, "write %40"),
        ({"POSTGRES_URL": "x"}, "  POSTGRES_URL: scheme: it must be"),
        ({"ENVIRONMENT": "production", "SECRET_KEY": KEY}, "NEON_DATABASE_URL is not set"),
        ({"NEON_DATABASE_URL": ELSEWHERE}, "SECRET_KEY is not set"),
        ({"NEON_DATABASE_URL": ELSEWHERE, "SECRET_KEY": "hunter2"}, "at least 32 bytes"),
        ({"NEON_DATABASE_URL": ELSEWHERE, "SECRET_KEY": "ab" * 20}, "different characters"),
        (
            {"NEON_DATABASE_URL": ELSEWHERE, "SECRET_KEY": "changeme-secret-password-12345678"},
            "examples",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """What cannot work is refused with the variable's name and the rule, without its secret."""
    _set(monkeypatch, **variables)

    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One start tells every bad value and every rule that the others break, each once."""
    _set(
        monkeypatch,
        ENVIRONMENT="production",
        LOCK_TIMEOUT="9",
        PORT="many",
        TRUSTED_PROXIES="nowhere",
    )

    with pytest.raises(ConfigurationError) as caught:
        Settings()
    first, *problems = str(caught.value).splitlines()
    assert first == "the settings are wrong:"
    assert [problem.split()[0].rstrip(":,") for problem in problems] == [
        "PORT",
        "TRUSTED_PROXIES",
        "LOCK_TIMEOUT",
        "NEON_DATABASE_URL",
        "SECRET_KEY",
    ]


def test_a_bad_value_is_not_also_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule is not judged by the default that stands in for a value that cannot be read."""
    _set(
        monkeypatch,
        ENVIRONMENT="production",
        SECRET_KEY=KEY,
        NEON_DATABASE_URL="postgresql://nobody",
        STATEMENT_TIMEOUT="long",
        LOCK_TIMEOUT="9",
    )

    with pytest.raises(ConfigurationError) as caught:
        Settings()
    said = str(caught.value)
    assert "NEON_DATABASE_URL is not set" not in said
    assert "LOCK_TIMEOUT" not in said
    assert said.count("NEON_DATABASE_URL: ") == said.count("STATEMENT_TIMEOUT: ") == 1


def test_production_asks_for_nothing_but_a_url_and_a_key() -> None:
    """With a URL and a strong key production starts, however unwise the rest is."""
    settings = Settings(
        environment="production",
        secret_key=KEY,
        neon_database_url=ELSEWHERE,
        debug=True,
        cors_origins="*",
        drain_seconds=20,
    )

    assert len(settings.warnings) == 4


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NEON_DATABASE_URL": ELSEWHERE}, "without TLS"),
        ({"NEON_DATABASE_URL": DIRECT, "DEBUG": "1", "ENVIRONMENT": "prod"}, "DEBUG is on"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS=*"),
        ({"CORS_ORIGINS": "https://a.example,https://b.example/"}, "entry 2: write scheme://host"),
        ({"CORS_ORIGINS": "a.example"}, "no browser sends, entry 1"),
        ({"PREVIOUS_SECRET_KEYS": f"{KEY}-1,{OLD}"}, "a weak key, entry 2 (it must have at least"),
        ({"DRAIN_SECONDS": "10"}, "exceeds SHUTDOWN_TIMEOUT"),
        ({"POOL_SZIE": "3"}, "POOL_SZIE is not a setting: did you mean POOL_SIZE?"),
        ({"NEON_DATABASEURL": "x"}, "did you mean NEON_DATABASE_URL?"),
    ],
)
def test_what_is_merely_unwise_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """It starts all the same, and says one line."""
    _set(monkeypatch, SECRET_KEY=KEY, **variables)

    assert all("\n" not in warning for warning in Settings().warnings)
    assert [warning for warning in Settings().warnings if said in warning]


@pytest.mark.parametrize("weak", ["changeme", OLD, "k" * 64, f"{KEY[:4]}" * 12])
def test_production_refuses_weak_keys_that_still_verify(
    monkeypatch: pytest.MonkeyPatch, weak: str
) -> None:
    """Who guesses one signs as anybody, whether or not it is the first."""
    _set(
        monkeypatch,
        ENVIRONMENT="production",
        NEON_DATABASE_URL=DIRECT,
        SECRET_KEY=KEY,
        PREVIOUS_SECRET_KEYS=f"{KEY}-1,{weak}",
    )

    with pytest.raises(ConfigurationError, match="a weak key, entry 2") as caught:
        Settings()
    assert weak not in str(caught.value)


@pytest.mark.parametrize("name", ["SECRET_KEY", "PREVIOUS_SECRET_KEYS"])
def test_a_key_that_cannot_sign_a_cursor_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In development too, at start rather than with the first list."""
    _set(monkeypatch, ENVIRONMENT="development", **{name: "dev"})

    with pytest.raises(ConfigurationError, match=f"{name} holds a key of less than 16 bytes"):
        Settings()


@pytest.mark.parametrize(
    "url", [f"{ELSEWHERE}?channel_binding=require&sslmode=require", f"{LOCAL}?sslrootcert=a.pem"]
)
def test_what_the_driver_cannot_give_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """At start, with what to change; psycopg may give it."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=url)

    with pytest.raises(ConfigurationError, match="sslmode=verify-full"):
        Settings()
    assert Settings(database_driver="psycopg").traffic_dsn is not None


@pytest.mark.parametrize("url", [DIRECT.partition("?")[0], LOCAL, f"{ELSEWHERE}?sslmode=require"])
def test_where_tls_is_not_missed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Neon's hosts always get TLS, this machine needs none, and a URL may ask for it."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=url)

    assert Settings().warnings == ()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty parts are dropped; unset and empty mean none."""
    _set(monkeypatch, CORS_ORIGINS=" https://a.example, https://b.example ,", TRUSTED_PROXIES="")
    settings = Settings()

    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.trusted_proxies == []
    assert settings.warnings == ()
    given = Settings(trusted_proxies="10.0.0.0/8, ::1").trusted_proxies
    assert [str(network) for network in given] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("log_level", "WARNING", "warning"),
        ("log_format", "JSON", "json"),
        ("database_driver", " AsyncPG", "asyncpg"),
        ("scale_to_zero", "AUTO", "auto"),
        ("scale_to_zero", "No", False),
        ("pooler_tracks_statements", "1", True),
        ("debug", "true", True),
        ("port", "0", 0),
        ("drain_seconds", "0", 0),
    ],
)
def test_how_a_value_is_written(
    monkeypatch: pytest.MonkeyPatch, field: str, text: str, value: object
) -> None:
    """Words are read without case and white space, and the ends of a range belong to it."""
    _set(monkeypatch, **{field.upper(): text})

    assert getattr(Settings(), field) == value


def test_the_log_is_for_programs_in_production() -> None:
    """LOG_FORMAT is `json` in production and `console` elsewhere, unless it says."""
    production = {"environment": "production", "secret_key": KEY, "neon_database_url": LOCAL}

    assert Settings(**production).effective_log_format == "json"
    assert Settings(**production, log_format="console").effective_log_format == "console"
    assert Settings().effective_log_format == "console"


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `repr`, a dump nor the effective listing holds a password, a key or a token."""
    _set(
        monkeypatch,
        NEON_DATABASE_URL=DIRECT,
        SECRET_KEY=KEY,
        PREVIOUS_SECRET_KEYS=f"{KEY}-1,{KEY}-2",
        METRICS_TOKEN="hunter2",
    )
    settings = Settings()
    printed = f"{settings!r}{settings}{settings.effective()}"
    printed += f"{settings.model_dump()}{settings.model_dump_json()}"

    assert KEY not in printed
    assert "hunter2" not in printed
    assert settings.signing_keys == (KEY.encode(), f"{KEY}-1".encode(), f"{KEY}-2".encode())


def test_what_a_launch_needs_is_judged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is the app's to refuse, and names that only the app knows, do not concern a launch."""
    _set(
        monkeypatch,
        ENVIRONMENT="production",
        STATEMENT_TIMEOUT="60",
        POOL_SIZE="many",
        PORT="81",
        WORKERSS="2",
    )
    settings = LaunchSettings()

    assert (settings.port, settings.is_production) == (81, True)
    assert settings.effective_log_format == "json"
    _set(monkeypatch, DRAIN_SECONDS="30")
    with pytest.raises(ConfigurationError, match="DRAIN_SECONDS"):
        LaunchSettings()


def test_scale_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neon's hosts sleep when idle unless told otherwise; others do not."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=DIRECT)
    assert Settings().sleeps_when_idle
    _set(monkeypatch, SCALE_TO_ZERO="false")
    assert not Settings().sleeps_when_idle
    _set(monkeypatch, SCALE_TO_ZERO="auto", NEON_DATABASE_URL=LOCAL)
    assert not Settings().sleeps_when_idle


def test_every_variable_is_documented_with_its_default() -> None:
    """The reference has a row for each variable, then for each of the starter's, and no other."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    defaults = {name: default for name, default, _ in rows}
    decided = {"ENVIRONMENT", "SECRET_KEY", "LOG_FORMAT"}

    assert list(defaults) == [name.upper() for name in StarterSettings.model_fields]
    assert all(meaning for _, _, meaning in rows)
    for name, field in StarterSettings.model_fields.items():
        if name.upper() not in decided:
            assert defaults[name.upper()] == _written(field.default), name


def _written(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return {"None": "none", "[]": "empty"}.get(str(default), str(default))


def test_what_libpq_would_follow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that lead psycopg elsewhere than the URL are named; asyncpg does not know them."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")
    for driver, told in (("psycopg", 1), ("asyncpg", 0)):
        settings = Settings(
            _env_file=None, database_driver=driver, neon_database_url="postgresql://a@localhost/a"
        )
        assert sum("PGHOSTADDR is set" in each for each in settings.warnings) == told
