"""The newest revision of a folder, by what its files say of themselves, and of a database."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.errors import BehindError, ConfigurationError

_HAS_REVISIONS = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_REVISIONS = text("SELECT version_num FROM alembic_version")
_WORDS = ("revision", "down_revision")


async def check_head(connection: AsyncConnection, folder: Path) -> tuple[str, ...]:
    """Refuse a database that lacks revisions of the folder.

    One that has a revision which the folder lacks was migrated by a newer release, and will do: an
    older replica may start while a deployment goes on.

    Returns:
        the revisions of such a newer release.

    Raises:
        BehindError: revisions are missing.
        ConfigurationError: there are several newest ones, or a file is not a revision.
    """
    revisions = read_revisions(folder)
    head = one_head(heads_of(revisions))
    current = await _current(connection)
    newer = tuple(each for each in current if each not in revisions)
    if head and head not in current and not newer:
        raise BehindError("the database lacks migrations of this release: run `neonkit migrate`")
    return newer


def one_head(heads: Collection[str]) -> str | None:
    """The newest revision; `None` where there is none.

    Raises:
        ConfigurationError: there are several.
    """
    if len(heads) > 1:
        raise ConfigurationError(
            f"{' and '.join(sorted(heads))} are both the newest migration: `neonkit makemigrations "
            "--merge` writes one that comes after both"
        )
    return next(iter(heads), None)


async def _current(connection: AsyncConnection) -> Sequence[str]:
    if not (await connection.execute(_HAS_REVISIONS)).scalar_one():
        return ()
    return (await connection.execute(_REVISIONS)).scalars().all()


def heads_of(revisions: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Every revision that none comes after."""
    return revisions.keys() - {below for each in revisions.values() for below in each}


def read_revisions(folder: Path) -> dict[str, tuple[str, ...]]:
    """The revisions of a folder, each with those that it comes after.

    Their names are read as literals, and no file is run: Alembic would run all of them.

    Raises:
        ConfigurationError: a file is not a revision.
    """
    files = sorted((folder / "versions").glob("*.py"))
    # as Alembic chooses them
    return dict(_read_file(each) for each in files if not each.name.startswith(("__init__", ".#")))


def _read_file(file: Path) -> tuple[str, tuple[str, ...]]:
    try:
        values = _literals(ast.parse(file.read_text(), file.name))
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(file, f"{type(error).__name__}: {error}") from None
    revision, below = (values.get(word) for word in _WORDS)
    if not isinstance(revision, str):
        raise _unreadable(file, "it has no line such as revision = '1a2b3c'")
    listed = below if isinstance(below, tuple | list) else (below,)
    return revision, tuple(each for each in listed if isinstance(each, str))


def _literals(module: ast.Module) -> dict[str, object]:
    """What the file gives to the names that a revision has."""
    return {
        target.id: ast.literal_eval(value)
        for line in module.body
        for target, value in _assignments(line)
        if isinstance(target, ast.Name) and target.id in _WORDS
    }


def _assignments(line: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each name of an assignment with its value, also where one line assigns several."""
    if isinstance(line, ast.AnnAssign) and line.value is not None:
        yield line.target, line.value
    if isinstance(line, ast.Assign):
        for target in line.targets:
            if isinstance(target, ast.Tuple) and isinstance(line.value, ast.Tuple):
                yield from zip(target.elts, line.value.elts, strict=False)
            else:
                yield target, line.value


def _unreadable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"the migrations cannot be read: {file.name}: {why}")
