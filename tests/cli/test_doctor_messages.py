"""`neonkit doctor MESSAGE` knows the messages that people meet."""

import json
import subprocess
import sys

import pytest


def _doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neonkit", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("Connection was closed by the remote end", "neonkit.create_engine"),
        ("SSL connection has been closed unexpectedly", "POOL_RECYCLE"),
        ("No more connections allowed", "NEON_POOLED_DATABASE_URL"),
        ("FATAL:  no more connections allowed (max_client_conn)", "NEON_POOLED_DATABASE_URL"),
        ("TypeError: connect() got an unexpected keyword argument 'sslmode'", "create_engine"),
    ],
)
def test_a_known_message_has_a_cause_and_a_fix(message: str, fix: str) -> None:
    """The message's words are enough, whatever stands around them."""
    done = _doctor(message)

    assert done.returncode == 0
    assert done.stdout.startswith("Cause: ")
    assert fix in done.stdout.partition("Fix:")[2]
    assert fix in json.loads(_doctor(message, "--json").stdout)["fix"]


def test_an_unknown_message_is_said_to_be_unknown() -> None:
    """No cause is made up."""
    done = _doctor("the cat sat on the mat")

    assert done.returncode == 1
    assert "not known" in done.stdout
