"""Budgets of round trips in a user's project, as the how-to shows them."""

import re
from pathlib import Path

from support.projects import Project

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "budget-round-trips.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LISTING, CREATING = "test_listing_notes", "test_creating_a_note"
FILE = "round_trips_file"
LISTED = "    return await paginate"
COUNTED = "    await session.exec(select(func.count()).select_from(Note))\n"
TEST_LATE = """\
async def test_that_fails_in_the_end(client, budget):
    for once in budget("GET /notes, of a test that fails"):
        with once:
            await client.get("/notes")
    raise AssertionError
"""


def _shown(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(HOW_TO.read_text("utf-8")) if found == language]


def _plant(project: Project) -> None:
    """Count the notes before they are listed."""
    notes = (project.folder / "notes.py").read_text().replace("col, select", "col, func, select")
    project.write(notes=notes.replace(LISTED, COUNTED + LISTED))


def test_the_how_to_works_as_written(project: Project) -> None:
    """No budget appears by itself; what is accepted, by two workers here, is held from then on.

    An extra statement fails with the diff that the page shows, and is not accepted above a
    ceiling. The file is beside the test, or where the project says.
    """
    [tests], [accepted, by_hand], [failure] = (_shown(each) for each in ("python", "toml", "text"))
    project.write(test_budgets=tests, test_late=TEST_LATE)
    file, own = project.folder / "round_trips.toml", project.folder / "own.toml"

    first = project.test("test_budgets.py")
    assert first.outcomes == {LISTING: "FAILED", CREATING: "FAILED"}
    assert f"pytest --accept-round-trips test_budgets.py::{LISTING}\n" in first.text
    assert not file.exists()

    accepting = project.test("--accept-round-trips", "-n", "2")
    assert accepting.outcomes == {
        LISTING: "PASSED",
        CREATING: "PASSED",
        "test_that_fails_in_the_end": "FAILED",
    }
    head, _, entries = file.read_text().partition("\n\n")
    assert head.startswith("# Round trips")
    assert entries == accepted

    _plant(project)
    planted = project.test("test_budgets.py")
    assert planted.outcomes == {LISTING: "FAILED", CREATING: "PASSED"}
    assert re.search(".+".join(map(re.escape, failure.split("…"))), planted.text), planted.text

    name = accepted.partition("\n")[0] + "\n"
    own.write_text(with_ceiling := entries.replace(name, by_hand))
    refused = project.test("test_budgets.py", "--accept-round-trips", "-o", f"{FILE}=own.toml")
    assert refused.outcomes == {LISTING: "FAILED", CREATING: "PASSED"}
    assert "2 round trips, above the ceiling of 1 in own.toml." in refused.text
    assert own.read_text() == with_ceiling
