"""Effects: what a statement of a migration does to whoever uses the tables meanwhile.

The locks are PostgreSQL's own (its manual, section 13.3.1, and the notes of ALTER TABLE); what is
said here holds from PostgreSQL 14 on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from neonkit.migrations._lint.sql import Reader, Statement, Token, outside_brackets

UNPROVEN = "beside DROP CONSTRAINT"
_SERIALS = {"serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"}
# Their value is one for the whole statement: a default of them rewrites nothing.
_STEADY = {
    "now", "current_timestamp", "current_date", "current_time", "localtimestamp", "localtime",
    "transaction_timestamp", "statement_timestamp", "current_user", "session_user", "user",
    "current_schema", "current_database", "current_setting", "to_tsvector", "array", "row",
    "lower", "upper", "concat", "md5", "cast", "coalesce",
    "jsonb_build_object", "json_build_object",
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """One thing that a statement does to a table in use.

    Attributes:
        rule: its name, by which a revision may allow it.
        table: whose users it concerns; with its schema where the statement names one.
        subject: the column, index or constraint that it is about; empty where it is the table.
        detail: what else the rule has to know, such as a column's new type.
    """

    rule: str
    table: str
    subject: str = ""
    detail: str = ""


def effects_of(statement: Statement) -> list[Effect]:
    """What a statement does that somebody who uses its tables would notice."""
    reader = Reader(statement.tokens)
    if reader.take("alter", "table"):
        return list(_of_alter_table(reader))
    if reader.take("create"):
        return list(_of_create(reader))
    if reader.take("drop", "table"):
        reader.skip_if_exists()
        return [Effect("drop-table", Reader(part).name()) for part in reader.parts()]
    return list(_of_others(reader))


def _of_create(reader: Reader) -> Iterator[Effect]:
    is_unique = reader.take("unique")
    if reader.take("index"):
        is_concurrent = reader.take("concurrently")
        reader.skip_if_exists()
        index = "" if reader.take("on") else reader.name()
        if index:
            reader.take("on")
        reader.take("only")
        if is_concurrent:
            yield Effect("concurrent-index", reader.name(), index)
        else:
            yield Effect("index", reader.name(), index, "UNIQUE " if is_unique else "")
        return
    while reader.take_any("global", "local", "temporary", "temp", "unlogged", "foreign"):
        pass
    if reader.take("table"):
        reader.skip_if_exists()
        yield Effect("new-table", reader.name())


def _of_others(reader: Reader) -> Iterator[Effect]:
    words = outside_brackets(reader.rest())
    if reader.take("alter", "type"):
        name = reader.name()
        if reader.take("rename", "value"):
            yield Effect("rename-enum-value", "", name)
        elif reader.take_any("rename", "set"):
            yield Effect("rename-type", "", name)
    elif words[:1] == ["update"] or words[:2] == ["delete", "from"] or _writes_below(reader):
        yield Effect("rows-at-once", _written_table(reader))
    elif "concurrently" not in words:
        yield from _of_maintenance(reader, words)


def _of_maintenance(reader: Reader, words: list[str]) -> Iterator[Effect]:
    if reader.take("refresh", "materialized", "view"):
        yield Effect("refresh-view", reader.name())
    elif reader.take("truncate"):
        reader.take("table")
        yield Effect("truncate", reader.name())
    elif reader.take("lock"):
        reader.take("table")
        yield Effect("lock-table", reader.name())
    elif words[:1] in (["cluster"], ["reindex"]) or {"vacuum", "full"} <= set(words[:3]):
        yield Effect("rewrite-table", words[-1])


def _writes_below(reader: Reader) -> bool:
    """True for WITH … UPDATE or DELETE, at any depth."""
    tokens = reader.rest()
    is_with = tokens[:1] == (Token("word", "with"),)
    return is_with and any(each in tokens for each in _WRITES)


_WRITES = (Token("word", "update"), Token("word", "delete"))


def _written_table(reader: Reader) -> str:
    tokens = reader.rest()
    at = min(tokens.index(each) for each in _WRITES if each in tokens)
    inner = Reader(tokens[at + 1 :])
    inner.take("from")
    inner.take("only")
    return inner.name()


def _of_alter_table(reader: Reader) -> Iterator[Effect]:
    reader.skip_if_exists()
    reader.take("only")
    table = reader.name()
    if reader.take("rename"):
        yield from _of_rename(reader, table)
        return
    parts = reader.parts()
    found = [each for part in parts for each in _of_action(Reader(part), table)]
    if any(Reader(part).take("drop", "constraint") for part in parts):
        found = [_without_its_proof(each) for each in found]
    if not found or any(each.rule != "validate" for each in found):
        yield Effect("strong-lock", table)
    yield from found


def _without_its_proof(effect: Effect) -> Effect:
    """PostgreSQL drops first: what SET NOT NULL could have relied on is gone by then."""
    return replace(effect, detail=UNPROVEN) if effect.rule == "set-not-null" else effect


def _of_rename(reader: Reader, table: str) -> Iterator[Effect]:
    if reader.take("constraint"):
        return
    if reader.take("to"):
        yield Effect("rename-table", table, reader.name())
        return
    reader.take("column")
    yield Effect("rename-column", table, reader.name())


def _of_action(action: Reader, table: str) -> Iterator[Effect]:
    if action.take("add"):
        yield from _of_add(action, table)
    elif action.take("validate", "constraint"):
        yield Effect("validate", table, action.name())
    elif action.take("drop"):
        if action.take("constraint"):
            return
        action.take("column")
        action.skip_if_exists()
        yield Effect("drop-column", table, action.name())
    elif action.take("alter"):
        if action.take("constraint"):
            return
        action.take("column")
        yield from _of_column_change(action, table, action.name())
    elif action.take("set", "schema"):
        yield Effect("rename-table", table, f"{action.name()}.{table.rpartition('.')[2]}")
    elif action.take("attach", "partition"):
        yield Effect("attach-partition", table, action.name())
    elif _rewrites(action):
        yield Effect("rewrite-table", table)


def _rewrites(action: Reader) -> bool:
    return any(
        action.take("set", *words)
        for words in [("tablespace",), ("logged",), ("unlogged",), ("access", "method")]
    )


def _of_column_change(action: Reader, table: str, column: str) -> Iterator[Effect]:
    if action.take("set", "not", "null"):
        yield Effect("set-not-null", table, column)
    elif action.take("type") or action.take("set", "data", "type"):
        yield Effect("change-type", table, column, _type_in(action.rest()))


def _type_in(tokens: tuple[Token, ...]) -> str:
    """A type as it is written, without its collation and USING."""
    text, is_word = "", False
    for token in tokens:
        if token in (Token("word", "using"), Token("word", "collate")):
            break
        text += " " * (is_word and token.kind == "word") + token.text
        is_word = token.kind == "word"
    return text


def _of_add(action: Reader, table: str) -> Iterator[Effect]:
    constraint = action.name() if action.take("constraint") else ""
    kind = _constraint_in(action)
    if kind:
        yield from _of_constraint(action, table, constraint, kind)
    elif not constraint:
        action.take("column")
        action.skip_if_exists()
        yield from _of_new_column(action, table, action.name())


_CONSTRAINTS = (
    ("check",), ("foreign", "key"), ("unique",), ("primary", "key"), ("exclude",), ("not", "null"),
)  # fmt: skip


def _constraint_in(action: Reader) -> str:
    return next((" ".join(each) for each in _CONSTRAINTS if action.take(*each)), "")


def _of_constraint(action: Reader, table: str, name: str, kind: str) -> Iterator[Effect]:
    words = outside_brackets(action.rest())
    if words[-2:] == ["not", "valid"]:
        column = _column_not_null(kind, action.rest())
        yield Effect("not-valid", table, name, column)
    elif kind in {"unique", "primary key"}:
        if words[:2] != ["using", "index"]:
            yield Effect("unique-constraint", table, name, kind.upper())
    elif kind == "exclude":
        yield Effect("exclude-constraint", table, name)
    elif kind == "foreign key":
        yield Effect("foreign-key", table, name)
    else:
        yield Effect("check-constraint", table, name)


def _column_not_null(kind: str, tokens: tuple[Token, ...]) -> str:
    """The column of which a constraint says that it IS NOT NULL, and nothing else."""
    named = [each for each in tokens if each.kind != "mark"]
    if kind == "not null":
        return named[0].text
    after = [each.text for each in named[1:]]
    is_it = kind == "check" and after[:3] == ["is", "not", "null"] and after[3:] == ["not", "valid"]
    return named[0].text if is_it else ""


def _of_new_column(action: Reader, table: str, column: str) -> Iterator[Effect]:
    tokens = action.rest()
    words = outside_brackets(tokens)
    is_filled = "default" in words or "generated" in words or bool(_SERIALS & set(words[:1]))
    if _fills_each_row(words, tokens):
        yield Effect("column-fills-rows", table, column)
    if "not" in words and words[words.index("not") :][1:2] == ["null"] and not is_filled:
        yield Effect("column-without-default", table, column)
    if "check" in words:
        yield Effect("check-constraint", table, column)
    if "unique" in words or "primary" in words:
        yield Effect("unique-constraint", table, column, "UNIQUE")
    if "references" in words and is_filled:
        yield Effect("foreign-key", table, column)


def _fills_each_row(words: list[str], tokens: tuple[Token, ...]) -> bool:
    """True where every row is written anew: its value of the column is computed for each."""
    if _SERIALS & set(words[:1]) or "identity" in words:
        return True
    if "generated" in words:
        return "stored" in words  # a virtual one is computed when it is read
    if "default" not in words:
        return False
    called = [
        word.text
        for word, following in pairwise(tokens)
        if word.kind == "word" and following == Token("mark", "(")
    ]
    after_type = called if words[0] not in called else called[1:]
    return any(
        each not in _STEADY and each not in {"check", "references", "varchar", "numeric", "char"}
        for each in after_type
    )
