"""The order of middleware: ours outside of what an app adds, also where it adds it later."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from neonkit.web._error_answers import answer_defect


def put_outside(app: FastAPI, outer: Sequence[Middleware]) -> None:
    """Build the app's middleware with some outside of the rest, and the last resort inside of them.

    Starlette puts what is added later outside, and the app's handler of `Exception` outside of
    everything, where its answer would have no header of ours and no line in the log. So the
    handler, or else ours, stands right inside of `outer`: what the app's own middleware does not
    catch comes there, is answered and raised again, as Starlette does it.
    """
    build = app.build_middleware_stack

    def build_middleware_stack() -> ASGIApp:
        added, handlers = app.user_middleware, app.exception_handlers
        last = [handler for kind, handler in handlers.items() if kind in _OF_EVERYTHING]
        last_resort = Middleware(
            ServerErrorMiddleware, handler=[answer_defect, *last][-1], debug=app.debug
        )
        app.user_middleware = [*outer, last_resort, *added]
        app.exception_handlers = _without(handlers)
        try:
            return build()
        finally:  # an instrumentation may build it again
            app.user_middleware, app.exception_handlers = added, handlers

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]  # seen by Starlette when it first needs it


_OF_EVERYTHING: tuple[Any, ...] = (500, Exception)


def _without(handlers: dict[Any, Any]) -> dict[Any, Any]:
    return {kind: each for kind, each in handlers.items() if kind not in _OF_EVERYTHING}
