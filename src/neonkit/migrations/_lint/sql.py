"""SQL as words: the statements of a script told apart, far enough to see what each one does.

PostgreSQL's own lexical rules (its manual, section 4.1): strings, quoted names, dollar quotes and
comments that nest are never taken for words of a statement.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+ | --[^\n]*)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
    | (?P<dollar>\$(?P<tag>[^\W\d]\w*)?\$.*?\$(?(tag)(?P=tag))\$)
    | (?P<name>"(?:[^"]|"")+")
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENS, _CLOSES = "([", ")]"


class Token(NamedTuple):
    """A word, a name or a mark.

    Attributes:
        kind: `word`, `name` (quoted), `string`, `number` or `mark`.
        text: a word in lower case, a quoted name without its quotes, anything else as it stands.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Statement:
    """One statement of a script.

    Attributes:
        text: as it was written, without comments before it.
        tokens: its words, names and marks.
    """

    text: str
    tokens: tuple[Token, ...]


def statements_of(script: str) -> list[Statement]:
    """The statements of a script, in their order."""
    found: list[Statement] = []
    begun: list[tuple[int, int, Token]] = []
    for start, end, token in _tokens(script):
        if token != ("mark", ";"):
            begun.append((start, end, token))
        elif begun:
            found.append(_statement(script, begun))
            begun = []
    if begun:
        found.append(_statement(script, begun))
    return found


def _statement(script: str, tokens: list[tuple[int, int, Token]]) -> Statement:
    text = script[tokens[0][0] : tokens[-1][1]]
    return Statement(text, tuple(token for _, _, token in tokens))


def _tokens(script: str) -> Iterator[tuple[int, int, Token]]:
    at = 0
    while at < len(script):
        if script.startswith("/*", at):
            at = _end_of_comment(script, at)
            continue
        match = _TOKEN.match(script, at)
        assert match is not None, "any character is a mark"  # noqa: S101
        at = match.end()
        kind = str(match.lastgroup)
        if kind != "blank":
            yield match.start(), at, _token(kind, match[0])


def _token(kind: str, text: str) -> Token:
    if kind == "word":
        return Token("word", text.lower())
    if kind == "name":
        return Token("name", text[1:-1].replace('""', '"'))
    return Token("string" if kind == "dollar" else kind, text)


def _end_of_comment(script: str, at: int) -> int:
    """The end of a comment of several lines; they nest."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(script, at):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(script)


class Reader:
    """The tokens of a statement, read from left to right."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0

    def take(self, *words: str) -> bool:
        """Go past these words, if they are what comes next."""
        following = self._tokens[self._at : self._at + len(words)]
        if [each.text for each in following if each.kind == "word"] != list(words):
            return False
        self._at += len(words)
        return True

    def take_any(self, *words: str) -> bool:
        """Go past one of these words."""
        return any(self.take(word) for word in words)

    def skip_if_exists(self) -> None:
        """Go past `IF EXISTS` or `IF NOT EXISTS`."""
        _ = self.take("if", "exists") or self.take("if", "not", "exists")

    def name(self) -> str:
        """The next name, with its schema where it has one; empty where something else comes."""
        parts: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at].kind in {"word", "name"}:
            parts.append(self._tokens[self._at].text)
            self._at += 1
            if not self._take_mark("."):
                break
        return ".".join(parts)

    def rest(self) -> tuple[Token, ...]:
        """All that was not read yet."""
        return self._tokens[self._at :]

    def parts(self) -> list[tuple[Token, ...]]:
        """The rest, taken apart at the commas that stand in no brackets."""
        parts: list[list[Token]] = [[]]
        depth = 0
        for token in self.rest():
            if token.kind == "mark":
                depth += (token.text in _OPENS) - (token.text in _CLOSES)
            if token == ("mark", ",") and depth == 0:
                parts.append([])
            else:
                parts[-1].append(token)
        return [tuple(part) for part in parts]

    def _take_mark(self, mark: str) -> bool:
        is_next = self._at < len(self._tokens) and self._tokens[self._at] == ("mark", mark)
        self._at += is_next
        return is_next


def outside_brackets(tokens: tuple[Token, ...]) -> list[str]:
    """The words and strings of a clause that stand in no brackets."""
    words: list[str] = []
    depth = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text in _OPENS) - (token.text in _CLOSES)
        elif depth == 0:
            words.append(token.text)
    return words
