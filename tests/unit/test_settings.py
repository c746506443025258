"""The environment is read once; what is wrong is refused with its fix, what is unwise is said."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.db import PoolPolicy, TimeoutPolicy
from neonkit.errors import ConfigurationError
from neonkit.settings import Settings
from neonkit.settings._names import is_one_edit_away

DIRECT = "postgresql://ada:hunter2@ep-x-1.eu-central-1.aws.neon.tech/neondb?sslmode=require"
POOLED = DIRECT.replace("ep-x-1", "ep-x-1-pooler")
LOCAL = "postgresql://ada:hunter2@127.0.0.1/app"
ELSEWHERE = "postgresql://ada:hunter2@db.example.com/app"
KEY = "an0ther-l0ng-and-quite-r4ndom-signing-key"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a `.env` nor a variable of this machine is seen."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in Settings.model_fields or name == "DATABASE_URL_UNPOOLED":
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
        ({"NEON_DATABASE_URL": LOCAL}, LOCAL, LOCAL),
        ({"DATABASE_URL": LOCAL}, LOCAL, LOCAL),
        ({"NEON_DATABASE_URL": POOLED}, POOLED, DIRECT),
        ({"NEON_DATABASE_URL": LOCAL, "DATABASE_URL": DIRECT}, LOCAL, LOCAL),
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


def test_a_pooled_host_in_the_direct_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is mended, and said."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=POOLED)

    assert any("names the pooler" in warning for warning in Settings().warnings)


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
        ({"API_V1_PREFIX": "api/"}, "API_V1_PREFIX"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,nowhere"}, "TRUSTED_PROXIES"),
        ({"NEON_DATABASE_URL": "postgresql://a:hunter2@x@h/d"}, "write %40"),
        ({"FIRST_ADMIN_USERNAME": "root"}, "FIRST_ADMIN_USERNAME, _EMAIL and _PASSWORD"),
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
    """One start tells every rule that is broken."""
    _set(monkeypatch, ENVIRONMENT="production", LOCK_TIMEOUT="9")

    with pytest.raises(ConfigurationError) as caught:
        Settings()
    for name in ("LOCK_TIMEOUT", "NEON_DATABASE_URL", "SECRET_KEY"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NEON_DATABASE_URL": ELSEWHERE}, "without TLS"),
        ({"NEON_DATABASE_URL": DIRECT, "DEBUG": "1", "ENVIRONMENT": "prod"}, "DEBUG is on"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS=*"),
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

    assert [warning for warning in Settings().warnings if said in warning]


def test_neon_without_sslmode_is_not_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neon's hosts always get TLS, so that nothing is to be warned of."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=DIRECT.partition("?")[0])

    assert Settings().warnings == ()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty parts are dropped; unset and empty mean none."""
    _set(monkeypatch, CORS_ORIGINS=" https://a.example, https://b.example ,", TRUSTED_PROXIES="")
    settings = Settings()

    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.trusted_proxies == []


def test_the_file_gives_way_to_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`.env` is read, a variable of the process wins, and typing errors in the file are told."""
    (tmp_path / ".env").write_text("APP_NAME=file\nPORT=81\nPROT=82\nSOMEBODY_ELSES=1\n")
    _set(monkeypatch, PORT="83")
    settings = Settings()

    assert (settings.app_name, settings.port) == ("file", 83)
    assert settings.warnings == ("PROT is not a setting: did you mean PORT?",)
    effective = {name: (value, source) for name, value, source in settings.effective()}
    assert effective["APP_NAME"] == ("file", ".env")
    assert effective["PORT"] == ("83", "environment")
    assert effective["HOST"] == ("127.0.0.1", "default")


def test_users_add_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass reads its own variables, and their names are known to the spelling check."""

    class Mine(Settings):
        """With one more."""

        shop_name: str = "none"

    _set(monkeypatch, SHOP_NAM="x")
    assert Mine().warnings == ("SHOP_NAM is not a setting: did you mean SHOP_NAME?",)
    _set(monkeypatch, SHOP_NAME="mine")
    assert Mine().shop_name == "mine"


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `repr` nor the effective listing holds a password, a key or a token."""
    _set(
        monkeypatch,
        NEON_DATABASE_URL=DIRECT,
        SECRET_KEY=KEY,
        PREVIOUS_SECRET_KEYS=f"{KEY}-1,{KEY}-2",
        METRICS_TOKEN="hunter2",
        FIRST_ADMIN_USERNAME="root",
        FIRST_ADMIN_EMAIL="root@example.com",
        FIRST_ADMIN_PASSWORD="hunter2",
    )
    settings = Settings()
    printed = f"{settings!r}{settings}{settings.effective()}"

    assert KEY not in printed
    assert "hunter2" not in printed
    assert settings.signing_keys == (KEY.encode(), f"{KEY}-1".encode(), f"{KEY}-2".encode())


def test_development_keeps_its_key(tmp_path: Path) -> None:
    """Without SECRET_KEY, development makes a key once and finds it again, in a 0600 file."""
    first = Settings().signing_keys

    assert Settings().signing_keys == first
    assert len(first[0]) >= 32
    assert (tmp_path / ".neonkit" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / ".neonkit").iterdir()] == ["secret_key"]


def test_scale_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neon's hosts sleep when idle unless told otherwise; others do not."""
    _set(monkeypatch, ENVIRONMENT="test", NEON_DATABASE_URL=DIRECT)
    assert Settings().sleeps_when_idle
    _set(monkeypatch, SCALE_TO_ZERO="false")
    assert not Settings().sleeps_when_idle
    _set(monkeypatch, SCALE_TO_ZERO="auto", NEON_DATABASE_URL=LOCAL)
    assert not Settings().sleeps_when_idle


@given(st.text(st.sampled_from("ABC_"), min_size=2, max_size=8), st.data())
def test_one_edit_is_found(name: str, data: st.DataObject) -> None:
    """Every insertion, deletion, substitution and swap is one edit; a name itself is none."""
    at = data.draw(st.integers(0, len(name) - 2))
    edits = {
        name[:at] + "X" + name[at:],
        name[:at] + name[at + 1 :],
        name[:at] + "X" + name[at + 1 :],
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    } - {name}

    assert all(is_one_edit_away(edit, name) for edit in edits)
    assert not is_one_edit_away(name, name)
    assert not is_one_edit_away(f"XY{name}", name)


def test_every_variable_is_documented_with_its_default() -> None:
    """The reference has a row for each variable, and no other."""
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = {row[1].strip().strip("`") for row in rows}

    assert documented == {name.upper() for name in Settings.model_fields} | {
        "DATABASE_URL_UNPOOLED"
    }
