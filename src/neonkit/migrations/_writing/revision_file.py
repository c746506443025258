"""A revision as a file: a docstring in words, and statements that say what they do."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from alembic.script import ScriptDirectory

from neonkit.errors import MigrationError
from neonkit.migrations._comparison.plan import Plan

_WIDTH = 100
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_PARTS = re.compile(
    r" (?=(?:ADD|DROP) CONSTRAINT |CHECK \(|FOREIGN KEY |REFERENCES |ON \S+ (?:USING|\()|WHERE )"
)
_BIND = re.compile(r"(?<![:\w\\]):(?=\w)(?!:)")  # what `text()` would take for a parameter


def write_revision(script: ScriptDirectory, message: str, up: Plan, down: Plan) -> Path:
    """Put a revision at the head of a history.

    Args:
        script: the history.
        message: what changes, in a few words.
        up: what it does.
        down: what takes it back.
    """
    written = script.generate_revision(
        token_hex(6),
        message,
        title=_title(message),
        words=_words(up.words, up.warnings),
        upgrades=_body(up),
        downgrades=_body(down),
    )
    if written is None:
        raise MigrationError("Alembic wrote no revision")
    return Path(written.path)


def _title(message: str) -> str:
    line = " ".join(message.split()).rstrip(".") or "Changes of the models"
    return _quoted(line[:1].upper() + line[1:])


def _words(words: Sequence[str], warnings: Sequence[str]) -> str:
    lines = [f"* {word}" for word in words]
    lines += [f"* To be seen to: {warning}." for warning in warnings]
    return "\n".join(
        _quoted("\n".join(textwrap.wrap(line, _WIDTH, subsequent_indent="  ",
                                        break_long_words=False)))
        for line in lines
    )  # fmt: skip


def _quoted(words: str) -> str:
    return words.replace("\\", "\\\\").replace('"', '\\"')


def _body(plan: Plan) -> str:
    lines = _outside(plan.first)
    lines += [_execute(statement, 4) for statement in plan.inside]
    lines += _outside(plan.apart)
    return "\n".join(lines) or "    pass"


def _outside(statements: Sequence[str]) -> list[str]:
    if not statements:
        return []
    start = "    with op.get_context().autocommit_block():"
    return [start, *(_execute(statement, 8) for statement in statements)]


def _execute(statement: str, depth: int) -> str:
    """Write one statement as one call, with its lines under each other."""
    escaped = _BIND.sub(r"\\:", statement)
    indent = " " * depth
    raw = "r" if "\\" in escaped else ""
    line = f'{indent}op.execute({raw}"{escaped}")'
    if "\n" not in escaped and '"' not in escaped and len(line) <= _WIDTH:
        return line
    if '"""' in escaped or escaped.endswith("\\"):
        return f"{indent}op.execute({escaped!r})"
    if not _counts_blanks(escaped):
        broken = escaped if "\n" in escaped else _broken(escaped)
        escaped = textwrap.indent(broken, f"{indent}    ")
    return f'{indent}op.execute({raw}"""\n{escaped}\n{indent}""")'


def _counts_blanks(statement: str) -> bool:
    """True where a line break is inside of a text, or of a function's body."""
    return "$" in statement or any("\n" in text for text in _LITERAL.findall(statement))


def _broken(statement: str) -> str:
    """Break a long statement where its parts begin."""
    if len(statement) + 16 <= _WIDTH:
        return statement
    return "\n    ".join(_PARTS.split(statement))
