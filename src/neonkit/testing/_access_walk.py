"""A walk over every route as everybody: who gets what, held to a table of rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.routing import Mount

from neonkit._seams.fastapi import RouteContext, routes_of
from neonkit.db import Database

_NOT_WALKED = {"HEAD", "OPTIONS"}
_NAMED_ALONE = {"WEBSOCKET", "MOUNT"}


@dataclass(frozen=True)
class Access:
    """The rule of a route: what each caller is answered.

    Attributes:
        expected: a status for each caller by name; or one for all.
        path: to send to, where the route has parameters.
        options: the client's, such as `json`, of a request that is right.
    """

    expected: Mapping[str, int] | int
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class AccessWalk:
    """Sends a request to every route as every caller; each leaves the database as it was.

    Args:
        app: whose routes.
        client: of the running app.
        db: its database.
    """

    def __init__(self, app: FastAPI, client: httpx2.AsyncClient, db: Database) -> None:
        self._app = app
        self._client = client
        self._db = db

    async def deviations(
        self, rules: Mapping[str, Access], callers: Mapping[str, Mapping[str, str]]
    ) -> list[str]:
        """What is otherwise than the rules say, a line each: empty where all is well.

        A route without a rule is one, and so is a rule without a route. A WebSocket route and a
        mounted app need one as well, such as `WEBSOCKET /chat` and `MOUNT /admin`: they are named,
        and not walked, so that whoever adds one has said that it has a test of its own.

        Args:
            rules: by route, such as `GET /notes/{note_id}`; behind a comma what tells one case of
                a route from another, such as `GET /notes/{note_id}, of another`.
            callers: the headers that each of them sends.
        """
        told = list(self._unruled(rules))
        for name, rule in rules.items():
            if name.partition(" ")[0] in _NAMED_ALONE:
                continue
            for who, headers in callers.items():
                status = await self._status(name, rule, headers)
                expected = rule.expected
                wanted = expected if isinstance(expected, int) else expected.get(who)
                if status != wanted:
                    told.append(f"{name} as {who}: {status}, not {wanted}")
        return told

    def _unruled(self, rules: Mapping[str, Access]) -> Iterator[str]:
        ruled = {name.partition(",")[0] for name in rules}
        routes = {name for route in routes_of(self._app) for name in _names_of(route)}
        yield from (f"{route}: no rule says who may" for route in sorted(routes - ruled))
        yield from (f"{rule}: there is no such route" for rule in sorted(ruled - routes))

    async def _status(self, name: str, rule: Access, headers: Mapping[str, str]) -> int:
        method, _, path = name.partition(",")[0].partition(" ")
        options = {**rule.options, "headers": {**headers, **rule.options.get("headers", {})}}
        async with self._db.sandbox():
            answer = await self._client.request(method, rule.path or path, **options)
        return answer.status_code


def _names_of(route: RouteContext) -> Iterator[str]:
    path = getattr(route, "path_format", route.path)
    if isinstance(route.original_route, Mount):
        yield f"MOUNT {route.path}"
    elif route.methods is None:
        yield f"WEBSOCKET {path}"
    else:
        yield from (f"{method} {path}" for method in set(route.methods) - _NOT_WALKED)


for _shown in (Access, AccessWalk):
    _shown.__module__ = "neonkit.testing"  # that room imports nothing, so it shows no names
