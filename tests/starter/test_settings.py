"""The starter's own settings, which show how an app adds some."""

from typing import Any

import pytest

from neonkit.errors import ConfigurationError
from neonkit.settings import Settings
from neonkit_starter.settings import StarterSettings

ADMIN = {
    "first_admin_username": "root",
    "first_admin_email": "root@example.com",
    "first_admin_password": "hunter2",
}


def _made(**values: str) -> StarterSettings:
    given: dict[str, Any] = {"_env_file": None, "environment": "test", **values}
    return StarterSettings(**given)


@pytest.mark.parametrize("prefix", ["/api/v2", "", "/a", "/a.b/c~d/e_f-g"])
def test_a_prefix_begins_with_a_slash_and_ends_without(prefix: str) -> None:
    """Any path that routes can be put under will do, none included."""
    assert _made(api_v1_prefix=prefix).api_v1_prefix == prefix


@pytest.mark.parametrize("prefix", ["/", "api", "api/", "/api/", "/a b", "/a?b", "/{a}", "//a"])
def test_another_prefix_is_refused(prefix: str) -> None:
    """The variable and the rule are named."""
    with pytest.raises(ConfigurationError, match="API_V1_PREFIX: must begin with a /"):
        _made(api_v1_prefix=prefix)


@pytest.mark.parametrize("missing", ADMIN)
def test_a_part_of_an_administrator_is_refused(missing: str) -> None:
    """All three variables, or none; the password is not shown."""
    given = {name: value for name, value in ADMIN.items() if name != missing}
    with pytest.raises(ConfigurationError, match="_EMAIL and _PASSWORD: set all three") as caught:
        _made(**given)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in f"{_made(**ADMIN)!r}{_made(**ADMIN).effective()}"


def test_its_rules_stand_in_the_one_list() -> None:
    """A wrong value, a rule of the starter's and rules of neonkit's are told by one start."""
    with pytest.raises(ConfigurationError) as caught:
        _made(environment="production", port="many", first_admin_email="root@example.com")
    problems = str(caught.value).splitlines()[1:]
    assert [problem.split()[0].rstrip(":,") for problem in problems] == [
        "PORT",
        "FIRST_ADMIN_USERNAME",
        "NEON_DATABASE_URL",
        "SECRET_KEY",
    ]


def test_the_toolkit_does_not_have_them() -> None:
    """What only the starter means is no setting of neonkit's."""
    own = StarterSettings.model_fields.keys() - Settings.model_fields.keys()
    assert own == {"api_v1_prefix", *ADMIN}


def test_misspellings_of_them_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One edit away from a name of the starter's is as wrong as from one of neonkit's."""
    monkeypatch.setenv("FIRST_ADMIN_EMIAL", "root@example.com")
    monkeypatch.setenv("API_V1_PREFXI", "/api")
    assert _made().warnings == (
        "API_V1_PREFXI is not a setting: did you mean API_V1_PREFIX?",
        "FIRST_ADMIN_EMIAL is not a setting: did you mean FIRST_ADMIN_EMAIL?",
    )
