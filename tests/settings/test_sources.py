"""Where values come from, and the names that were probably meant."""

import os
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from neonkit.errors import ConfigurationError
from neonkit.settings import Settings
from neonkit.settings._misspellings import is_one_edit_away, misspelt_in_environment

SOMEBODY_ELSES = [
    "CI",
    "DATABASE_HOST",
    "DISPLAY",
    "DYNO",
    "EDITOR",
    "ENV",
    "GITHUB_TOKEN",
    "GPG_KEY",
    "HOME",
    "HOSTNAME",
    "HOSTS",
    "KUBERNETES_PORT",
    "KUBERNETES_SERVICE_HOST",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LOGNAME",
    "LS_COLORS",
    "OLDPWD",
    "PATH",
    "PGDATABASE",
    "PGHOST",
    "PGHOST_UNPOOLED",
    "PGPASSWORD",
    "PGPORT",
    "PGUSER",
    "PORTS",
    "POST",
    "POSTGRES_URL_NON_POOLING",
    "PWD",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "SHELL",
    "SHLVL",
    "SSH_AUTH_SOCK",
    "TERM",
    "TMPDIR",
    "USER",
    "VERCEL_ENV",
    "VIRTUAL_ENV",
    "WEB_CONCURRENCY",
    "XDG_RUNTIME_DIR",
    "_",
]


class Shop(Settings):
    """A user's own settings."""

    shop_name: str = "none"
    shop_token: SecretStr | None = None
    tags: list[str] = Field(default_factory=list)
    till: str | None = Field(default=None, validation_alias=AliasChoices("TILL_NAME", "TILL"))


class Prefixed(Settings):
    """Every variable under a prefix."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a `.env` nor a variable of this machine is seen."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


def _sources(settings: Settings) -> dict[str, tuple[str, str]]:
    return {name: (value, source) for name, value, source in settings.effective()}


def test_the_code_comes_first_then_the_environment_then_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The listing says for each value where it comes from."""
    Path(".env").write_text("APP_NAME=file\nPORT=81\nHOST=::1\nWORKERS=\nSOMEBODY_ELSES=1\n")
    monkeypatch.setenv("PORT", "83")
    monkeypatch.setenv("host", "0.0.0.0")
    monkeypatch.setenv("APP_NAME", "")
    effective = _sources(Settings(host="127.0.0.2", debug=True))

    assert effective["APP_NAME"] == ("file", ".env")
    assert effective["PORT"] == ("83", "environment")
    assert effective["HOST"] == ("127.0.0.2", "given")
    assert effective["DEBUG"] == ("true", "given")
    assert effective["WORKERS"] == ("1", "default")
    assert _sources(Settings())["HOST"] == ("0.0.0.0", "environment")


def test_the_listing_shows_what_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that another decides is shown as decided, none as nothing, secrets as stars."""
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example")
    url = "postgresql://ada:hunter2@127.0.0.1/app"
    effective = _sources(Settings(neon_database_url=url, secret_key="x" * 40))

    assert effective["ENVIRONMENT"] == ("development", "default")
    assert effective["LOG_FORMAT"] == ("console", "default")
    assert effective["CORS_ORIGINS"] == ("https://a.example,https://b.example", "environment")
    assert effective["NEON_DATABASE_URL"] == ("postgresql://ada:***@127.0.0.1/app", "given")
    assert effective["NEON_POOLED_DATABASE_URL"] == ("", "default")
    assert effective["POOL_TIMEOUT"] == ("5", "default")
    assert set(effective["SECRET_KEY"][0]) == {"*"}


def test_no_file_is_read_where_none_is_wanted() -> None:
    """`_env_file=None` reads no value from `.env`, and reports no name in it."""
    Path(".env").write_text("APP_NAME=file\nPROT=82\n")
    settings = Settings(_env_file=None, environment="test")

    assert settings.app_name == "FastAPI with Neon"
    assert settings.warnings == ()
    assert _sources(settings)["APP_NAME"][1] == "default"


def test_the_local_file_comes_after_the_shared_one() -> None:
    """`.env.local` wins over `.env`, is named as the source, and is searched for misspellings."""
    Path(".env").write_text("APP_NAME=shared\nPORT=81\n")
    Path(".env.local").write_text("APP_NAME=mine\nHOSTT=::1\nWORKERS=2\n")
    settings = Settings()

    assert (settings.app_name, settings.port, settings.workers) == ("mine", 81, 2)
    assert _sources(settings)["APP_NAME"] == ("mine", ".env.local")
    assert _sources(settings)["PORT"] == ("81", ".env")
    assert settings.warnings == ("HOSTT is not a setting: did you mean HOST?",)


@pytest.mark.parametrize("where", ["given", "environment", ".env", "upper case"])
def test_the_local_file_is_not_read_in_tests(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Whoever says that this is a test: one machine's own values do not decide about it."""
    Path(".env.local").write_text("APP_NAME=mine\nENVIRONMENT=development\nHOSTT=::1\n")
    if where == ".env":
        Path(".env").write_text("ENVIRONMENT=test\n")
    elif where != "given":
        monkeypatch.setenv("ENVIRONMENT", "test" if where == "environment" else " TEST ")
    settings = Settings(environment="test") if where == "given" else Settings()

    assert settings.is_test
    assert settings.app_name == "FastAPI with Neon"
    assert settings.warnings == ()


def test_several_files_are_read_in_order() -> None:
    """The later file wins, and names are checked in each."""
    Path("one.env").write_text("APP_NAME=one\nPORT=81\n")
    Path("two.env").write_text("APP_NAME=two\nHOSTT=::1\n")
    settings = Settings(_env_file=("one.env", "two.env", "none.env"))

    assert (settings.app_name, settings.port) == ("two", 81)
    assert settings.warnings == ("HOSTT is not a setting: did you mean HOST?",)


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    """A file saved by an editor that writes one is read as any other."""
    Path(".env").write_text("APP_NAME=file\n", encoding="utf-8-sig")
    settings = Settings()

    assert settings.app_name == "file"
    assert settings.warnings == ()
    assert _sources(settings)["APP_NAME"][1] == ".env"


def test_a_file_that_is_not_text_is_refused() -> None:
    """It says which file, and what to do."""
    Path(".env").write_bytes(b"APP_NAME=\xff\xfe\n")

    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8: save it as UTF-8"):
        Settings()


def test_a_keyword_that_is_no_field_is_refused() -> None:
    """A typing error in code is not swallowed, and its value is not shown."""
    with pytest.raises(ConfigurationError, match="environmnt: Extra inputs") as caught:
        Settings(environmnt="hunter2", lock_timeout=9)
    assert "hunter2" not in str(caught.value)
    assert "LOCK_TIMEOUT (9)" in str(caught.value)


def test_users_add_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass reads its own variables, aliases too; the spelling check knows their names."""
    monkeypatch.setenv("SHOP_NAM", "x")
    monkeypatch.setenv("TILL", "front")
    settings = Shop()

    assert settings.warnings == ("SHOP_NAM is not a setting: did you mean SHOP_NAME?",)
    assert settings.till == "front"
    assert _sources(settings)["TILL_NAME"] == ("front", "environment")
    assert Shop(till="back").till == "back"
    monkeypatch.setenv("SHOP_NAME", "mine")
    assert Shop().shop_name == "mine"


def test_a_users_value_that_is_not_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field is named and the value is not shown."""
    monkeypatch.setenv("TAGS", "hunter2,b")

    with pytest.raises(ConfigurationError, match=r"tags.*write it as JSON") as caught:
        Shop()
    assert "hunter2" not in str(caught.value)


class Ruled(Settings):
    """A user's own rules, as pydantic has them."""

    least: int = 1
    most: int = 9

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("LEAST must not exceed MOST")
        return self


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LEAST": "10"}, ["LEAST"]),
        ({"LEAST": "10", "LOCK_TIMEOUT": "9"}, ["LEAST", "LOCK_TIMEOUT"]),
        ({"LEAST": "10", "PORT": "x"}, ["PORT", "LEAST"]),
        ({"LEAST": "x", "MOST": "0", "LOCK_TIMEOUT": "9"}, ["LEAST:", "LOCK_TIMEOUT"]),
        ({"LOCK_TIMEOUT": "9"}, ["LOCK_TIMEOUT"]),
    ],
)
def test_a_users_rule_stands_in_the_one_list(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: list[str]
) -> None:
    """Values, the user's rules and ours are told at once; none is judged by a stand-in value."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        Ruled()
    problems = [line.split() for line in str(caught.value).splitlines()[1:]]
    assert [words[0] if words[0] in told else words[0].rstrip(":") for words in problems] == told


def test_a_name_that_only_the_user_knows_is_no_misspelling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A setting of the user's that is one edit away from one of ours is not told as mistyped."""

    class Alike(Settings):
        workerss: int = 1

    monkeypatch.setenv("WORKERSS", "3")
    assert Alike().warnings == ()
    assert Settings().warnings == ("WORKERSS is not a setting: did you mean WORKERS?",)


def test_a_prefix_belongs_to_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `env_prefix`, refusals, sources and the spelling check use the prefixed names."""
    monkeypatch.setenv("SHOP_POTR", "1")
    monkeypatch.setenv("SHOP_HOST", "::1")

    assert Prefixed().warnings == ("SHOP_POTR is not a setting: did you mean SHOP_PORT?",)
    assert _sources(Prefixed())["SHOP_HOST"] == ("::1", "environment")
    monkeypatch.setenv("SHOP_PORT", "x")
    with pytest.raises(ConfigurationError, match="SHOP_PORT: "):
        Prefixed()


def test_names_in_the_file_are_checked_at_any_length() -> None:
    """In `.env` a short name is a typing error; the value is never shown."""
    Path(".env").write_text("PROT=82\nSECRET_KEEY=hunter2\n")

    assert Settings().warnings == (
        "PROT is not a setting: did you mean PORT?",
        "SECRET_KEEY is not a setting: did you mean SECRET_KEY?",
    )


def test_other_programs_variables_are_left_alone() -> None:
    """Names that shells, platforms and PostgreSQL itself set are not taken for typing errors."""
    known = {name.upper() for name in Settings.model_fields}

    assert misspelt_in_environment(SOMEBODY_ELSES, known) == {}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_never_taken_for_another(name: str) -> None:
    """No two settings are so alike that a name of one could be told as a mistyped other."""
    known = {each.upper() for each in Settings.model_fields}

    assert misspelt_in_environment([name], known) == {}


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


_WORDS = st.text(st.sampled_from("AB"), max_size=5)


@given(_WORDS, _WORDS)
def test_one_edit_is_the_distance_of_the_textbook(one: str, other: str) -> None:
    """It holds exactly where the distance of Damerau and Levenshtein is one, in both directions."""
    assert is_one_edit_away(one, other) == (_distance(one, other) == 1)
    assert is_one_edit_away(one, other) == is_one_edit_away(other, one)


def _distance(one: str, other: str) -> int:
    """Count the edits by the recurrence itself, too slow for anything but a check."""
    if not one or not other:
        return len(one) + len(other)
    costs = [
        _distance(one[1:], other) + 1,
        _distance(one, other[1:]) + 1,
        _distance(one[1:], other[1:]) + (one[0] != other[0]),
    ]
    if one[:2] == other[:2][::-1] and len(one) > 1:
        costs.append(_distance(one[2:], other[2:]) + 1)
    return min(costs)
