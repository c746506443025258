"""What revision files say of themselves is read as Alembic reads it, and none is run."""

from pathlib import Path

import pytest

from neonkit.errors import ConfigurationError
from neonkit.history._heads import heads_of, read_revisions
from neonkit.migrations._scripts import heads_of as alembics_heads_of
from neonkit.migrations._scripts import read_script

LINE = {"a.py": 'revision = "a"\ndown_revision = None\n'}
FORMS = {
    "none": {},
    "one": LINE,
    "a line": LINE | {"b.py": 'revision, x = "b", 1\nrevision = "b"\ndown_revision = "a"\n'},
    "annotated": LINE
    | {
        "b.py": "from collections.abc import Sequence\n"
        'revision: str = "b"\ndown_revision: str | Sequence[str] | None = "a"\n'
    },
    "in one assignment": LINE | {"b.py": 'revision, down_revision = "b", "a"\n'},
    "a fork": LINE | {n: f'revision = "{n}"\ndown_revision = "a"\n' for n in ("b.py", "c.py")},
    "a merge": LINE
    | {n: f'revision = "{n}"\ndown_revision = "a"\n' for n in ("b.py", "c.py")}
    | {"d.py": 'revision = "d"\ndown_revision = ("b.py", "c.py")\n'},
    "what is no revision": LINE
    | {"__init__.py": "x = 1", ".#a.py": "a lock of an editor's", "notes.txt": "read me"},
    "two beginnings": LINE | {"z.py": 'revision = "z"\ndown_revision = None\n'},
    "what depends": LINE
    | {
        "z.py": 'revision = "z"\ndown_revision = None\n'
        'depends_on = "a"\nbranch_labels = ("other",)\n'
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history without revisions."""
    (tmp_path / "versions").mkdir()
    return tmp_path


@pytest.mark.parametrize("files", FORMS.values(), ids=list(FORMS))
def test_the_newest_revisions_are_those_that_alembic_finds(
    folder: Path, files: dict[str, str]
) -> None:
    """Lines, forks, merges, annotations, and what lies beside the revisions."""
    for name, text in files.items():
        (folder / "versions" / name).write_text(text)

    assert sorted(heads_of(read_revisions(folder))) == alembics_heads_of(read_script(folder))


@pytest.mark.parametrize(
    "text",
    ["def upgrade(:", "down_revision = None", 'revision = "a" + name()', "revision = 5"],
    ids=["no Python", "no name", "a name that is made", "no text"],
)
def test_a_file_that_is_no_revision_is_named(folder: Path, text: str) -> None:
    """It says which file, and what of it cannot be read."""
    (folder / "versions" / "strange.py").write_text(text)

    with pytest.raises(ConfigurationError, match=r"cannot be read: strange\.py: "):
        read_revisions(folder)
