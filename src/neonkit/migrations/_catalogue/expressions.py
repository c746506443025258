"""Expressions and types as people write them, out of the form in which PostgreSQL prints them.

Most of what it prints it reads back as the same. A list (`IN`) over a varchar it does not: printed
and read again it has other casts, so that the two would differ for ever.
"""

import re

_LITERAL = r"'(?:[^']|'')*'"
_VARCHAR_LIST = re.compile(
    rf"\(\(?(?P<column>[\w.]+|\"[^\"]+\")\)?::text (?P<how>= ANY|<> ALL) \(\(ARRAY\["
    rf"(?P<items>{_LITERAL}::(?:character varying|bpchar)"
    rf"(?:, {_LITERAL}::(?:character varying|bpchar))*)\]\)::text\[\]\)\)"
)
_LIST = re.compile(
    r"\((?P<column>[\w.]+|\"[^\"]+\") (?P<how>= ANY|<> ALL) \(ARRAY\["
    rf"(?P<items>(?:{_LITERAL}::[\w.\"]+|-?\d+)(?:, (?:{_LITERAL}::[\w.\"]+|-?\d+))*)\]\)\)"
)
_TYPED = re.compile(rf"({_LITERAL})::[\w .\"]+")
_PLAIN_LITERAL = re.compile(rf"^({_LITERAL})::(.+)$")
_TYPES = {
    "character varying": "varchar",
    "character": "char",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
}
_TYPE = re.compile(rf"^({'|'.join(sorted(_TYPES, key=len, reverse=True))})(?=$|[(\[ ])")


def readable(expression: str) -> str:
    """Write lists as lists, and take away the pair of brackets that says nothing."""
    plain = _LIST.sub(_as_list, _VARCHAR_LIST.sub(_as_list, expression))
    if plain.startswith("CHECK ("):
        rule, _, rest = plain.removeprefix("CHECK ").rpartition(")")
        return f"CHECK ({unwrapped(rule[1:])}){rest}"
    return plain.replace(" USING btree ", " ")


def readable_default(expression: str, kind: str) -> str:
    """Leave the type of a literal out where it is the column's own."""
    found = _PLAIN_LITERAL.match(expression)
    if found and short_type(found[2]) == base_of(kind):
        return found[1]
    return unwrapped(expression)


def unwrapped(expression: str) -> str:
    """Take away a pair of brackets around the whole."""
    if not (expression.startswith("(") and expression.endswith(")")):
        return expression
    depth, is_quoted = 0, False
    for position, letter in enumerate(expression):
        is_quoted ^= letter == "'"
        if is_quoted:
            continue
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and position < len(expression) - 1:
            return expression
    return expression[1:-1]


def short_type(kind: str) -> str:
    """A type by the name that people use: `varchar(200)`, `timestamptz`."""
    return _TYPE.sub(lambda found: _TYPES[found[1]], kind)


def base_of(kind: str) -> str:
    """A type without its length, its precision and its collation."""
    return re.sub(r"\([\d, -]+\)", "", kind.partition(" COLLATE ")[0])


def _as_list(found: re.Match[str]) -> str:
    items = _TYPED.sub(r"\1", found["items"])
    word = "IN" if found["how"] == "= ANY" else "NOT IN"
    return f"({found['column']} {word} ({items}))"
