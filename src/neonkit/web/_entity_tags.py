"""Entity tags: an answer names its version, and a write says which one it means to change."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Request, Response
from sqlalchemy import ARRAY, ColumnElement, Exists, Select, String, any_, cast, exists, literal
from sqlalchemy.sql.dml import Delete, Update
from sqlalchemy.sql.visitors import cloned_traverse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from neonkit.db import Condition, Database, FaultKind, fault_of
from neonkit.errors import FieldProblem, MalformedHeaderError, NotFoundError, StaleVersionError
from neonkit.web._answers import AnyRow, Model, entity_tag_of, existing, set_entity_tag

_TAG = r'(W/)?"([!#-~\x80-\xff]*)"'
_LIST = re.compile(rf"[ \t,]*(?:{_TAG}[ \t]*(?:,[ \t,]*|\Z))+")
_TAGS = re.compile(_TAG)
_NAMES_A_VERSION = "neonkit_names_a_version"
_NO_VERSION = (
    "this {kind} has no version to make an entity tag of: derive its table from `VersionMixin`, or "
    "select a column labelled `etag`"
)

_IN_SCHEMA = {"pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'}  # as one should send it

_IfMatchHeader = Header(
    alias="If-Match",
    json_schema_extra=_IN_SCHEMA,
    description="Entity tags, or `*`: where the resource has another one by now, it stays (412).",
)
_IfNoneMatchHeader = Header(
    alias="If-None-Match",
    json_schema_extra=_IN_SCHEMA,
    description="Entity tags, or `*`: where the resource still has one of them, the answer is 304.",
)


@dataclass(frozen=True)
class EntityTags:
    """What `If-Match` or `If-None-Match` names (RFC 9110, section 8.8.3).

    Attributes:
        is_any: it is `*`.
        strong: the opaque parts of strong tags.
        weak: those of weak ones.
    """

    is_any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    @classmethod
    def read(cls, name: str, values: Sequence[str]) -> "EntityTags | None":
        """Read the lines of a header; `None` where there are none.

        Raises:
            MalformedHeaderError: they are no list of entity tags (400).
        """
        if not values:
            return None
        text = ",".join(values)
        if text.strip(" \t") == "*":
            return cls(is_any=True)
        if not _LIST.fullmatch(text):
            fault = FieldProblem(f"/header/{name}", "entity_tags", 'It must be like "3", or *.')
            raise MalformedHeaderError(f"{name} is no list of entity tags.", errors=[fault])
        found = _TAGS.findall(text)
        return cls(
            strong=frozenset(tag for weak, tag in found if not weak),
            weak=frozenset(tag for weak, tag in found if weak),
        )


class NotModifiedError(HTTPException):
    """The answer that the client has already: 304, without a body."""

    def __init__(self, tag: str) -> None:
        super().__init__(HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})


class Tagged(Protocol):
    """Gives a row as the answer, with its `ETag`; to who has it already, 304 without a body."""

    def __call__(self, row: AnyRow | Model, /) -> Model:
        """Compare the row with `If-None-Match` (weakly, as RFC 9110 says)."""
        ...


async def get_tagged(
    request: Request,
    response: Response,
    if_none_match: Annotated[str | None, _IfNoneMatchHeader] = None,  # noqa: ARG001  # for the schema; read below
) -> Tagged:
    """Answer with a row and its `ETag`, or with 304.

    Raises:
        MalformedHeaderError: `If-None-Match` is no list of entity tags (400).
    """
    known = EntityTags.read("if-none-match", request.headers.getlist("if-none-match"))

    def tagged(row: Any) -> Any:  # noqa: ANN401  # as the protocol types it
        tag = _required_tag(row)
        set_entity_tag(response, row)
        if known is not None and (known.is_any or tag in known.strong | known.weak):
            raise NotModifiedError(response.headers["ETag"])
        return row

    return tagged


TaggedDep = Annotated[Tagged, Depends(get_tagged)]
"""`return tagged(row)`: the row with its `ETag`, or 304 by `If-None-Match`."""


class IfMatch:
    """The versions that a write may change: those that `If-Match` names, or any.

    Attributes:
        tags: the opaque parts of its strong tags; `None` where any version will do. A weak tag
            matches nothing (strong comparison).
    """

    def __init__(self, connection: HTTPConnection, response: Response) -> None:
        named = EntityTags.read("if-match", connection.headers.getlist("if-match"))
        self.tags = None if named is None or named.is_any else sorted(named.strong)
        self._state = connection.state
        self._response = response

    def require(self, row: Model) -> Model:
        """Give an object that may be changed, as a session has read it.

        Where somebody else changes it before the commit, that is 412 as well.

        Raises:
            StaleVersionError: the client has seen another version (412).
        """
        if self.tags is not None:
            setattr(self._state, _NAMES_A_VERSION, True)
            if _required_tag(row) not in self.tags:
                raise StaleVersionError
        return row

    def tagged(self, row: AnyRow | Model) -> Model:
        """Give a changed row as the answer, with its new `ETag`."""
        set_entity_tag(self._response, row)
        answer: Any = row
        return answer  # type: ignore[no-any-return]  # a row answers as any model with its fields

    async def write(
        self,
        database: Database,
        statement: Update | Delete | Select[*tuple[Any, ...]],
        conditions: Sequence[Condition] = (),
    ) -> AnyRow:
        """Execute one statement that changes one row, and give that row.

        The version stands in the statement itself: in one round trip it happens to a version that
        was named, or not at all.

        Args:
            database: where.
            statement: UPDATE or DELETE … RETURNING of a table with `VersionMixin`; a SELECT of the
                row, labelled `etag`, where there is nothing to change.
            conditions: what must hold besides; they are judged before the version.

        Raises:
            NotFoundError: there is no such row (404).
            StaleVersionError: there is, of another version (412).
        """
        if isinstance(statement, Select) or self.tags is None:
            found: AnyRow = existing(await database.execute(statement, conditions=conditions))
            return self.require(found)
        version = statement.table.c.version
        is_current = _same(statement).where(_is_one_of(version, self.tags))
        all_of = [
            *conditions,
            Condition(_same(statement), NotFoundError),
            Condition(is_current, StaleVersionError),
        ]
        current = statement.where(_is_one_of(version, self.tags))
        # where somebody else was faster the conditions held, and no row was changed: the next
        # statement sees what they have left; as no version comes twice, that ends
        for _ in range(len(self.tags) + 1):
            done = await database.execute(current, conditions=all_of)
            if (changed := done.one_or_none()) is not None:
                return changed
        raise StaleVersionError


async def get_if_match(
    request: Request,
    response: Response,
    if_match: Annotated[str | None, _IfMatchHeader] = None,  # noqa: ARG001  # for the schema; read below
) -> IfMatch:
    """Which versions the request may change.

    Raises:
        MalformedHeaderError: `If-Match` is no list of entity tags (400).
    """
    return IfMatch(request, response)


IfMatchDep = Annotated[IfMatch, Depends(get_if_match)]
"""The versions that this write may change: 412 where the resource has another one."""


def told_of_version(state: dict[str, Any], error: Exception) -> Exception:
    """Turn a lost race for a row into a stale version, where the request named one."""
    if state.get(_NAMES_A_VERSION):
        fault = fault_of(error)
        if fault is not None and fault.kind is FaultKind.STALE_ROW:
            return StaleVersionError()
    return error


def _required_tag(row: object) -> str:
    tag = entity_tag_of(row)
    if tag is None:
        raise TypeError(_NO_VERSION.format(kind=type(row).__name__))
    return tag


def _is_one_of(version: ColumnElement[Any], tags: Iterable[str]) -> ColumnElement[bool]:
    named = literal(list(tags), ARRAY(String))
    return cast(version, String) == any_(named)


def _same(statement: Update | Delete) -> Exists:
    """True if there is a row that a statement would change; with parameters of its own."""
    rows = exists().select_from(statement.table)
    clause = statement.whereclause
    return rows if clause is None else rows.where(cloned_traverse(clause, {}, {}))
