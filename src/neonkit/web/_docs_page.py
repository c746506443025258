"""The pages of the API, served by the app itself: nothing is fetched from elsewhere."""

import html
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute

from neonkit.errors import NotFoundError
from neonkit.web._loopback import is_from_here

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]

_SWAGGER_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_REDOC_FILES = {"redoc.standalone.js": "text/javascript"}
_FILES = Path(__file__).with_name("_docs_files")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{base}/favicon.png">
<link rel="stylesheet" href="{base}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{base}/swagger-ui-bundle.js"></script>
<script src="{base}/start.js"></script>
</body>
</html>
"""

_REDOC = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
</head>
<body>
<redoc spec-url="{schema}"></redoc>
<script src="{base}/redoc.standalone.js"></script>
</body>
</html>
"""


def remove_docs(app: FastAPI) -> None:
    """Take FastAPI's own pages off the app, the schema's address included."""
    app.router.routes[:] = [route for route in app.router.routes if not _is_fastapis(route)]


def _is_fastapis(route: BaseRoute) -> bool:
    endpoint = getattr(route, "endpoint", None)
    return getattr(endpoint, "__module__", None) == "fastapi.applications"


def serve_docs(app: FastAPI, *, only_here: bool = False) -> None:
    """Serve the schema, and its pages where the app has them, under a policy of their own.

    Args:
        app: whose.
        only_here: to peers on this machine alone; for others there is nothing (404).
    """
    remove_docs(app)
    if not app.openapi_url:
        return
    given = _to_peers_here if only_here else _to_everybody

    async def schema(request: Request) -> Response:
        return Response(json.dumps(_with_server(app, request)), media_type="application/json")

    routes: dict[str, Answer] = {app.openapi_url: schema}
    if app.docs_url:
        routes |= _swagger(app, app.docs_url.rstrip("/"), app.openapi_url)
    if app.redoc_url:
        routes |= _redoc(app, app.redoc_url.rstrip("/"), app.openapi_url)
    for path, answer in routes.items():
        app.add_route(path, given(answer), include_in_schema=False)


def _to_everybody(answer: Answer) -> Answer:
    return answer


def _to_peers_here(answer: Answer) -> Answer:
    async def answer_here(request: Request) -> Response:
        if not is_from_here(request):
            raise NotFoundError
        return await answer(request)

    return answer_here


def _with_server(app: FastAPI, request: Request) -> dict[str, Any]:
    """The schema, with the prefix that a proxy has taken off as its first server."""
    schema = app.openapi()
    root, servers = _root(request), schema.get("servers", [])
    if not (root and app.root_path_in_servers) or any(each.get("url") == root for each in servers):
        return schema
    return {**schema, "servers": [{"url": root}, *servers]}


def _swagger(app: FastAPI, docs_url: str, openapi_url: str) -> dict[str, Answer]:
    async def page(request: Request) -> Response:
        base = _root(request) + docs_url
        content = _PAGE.format(title=html.escape(f"{app.title}: API"), base=html.escape(base))
        return _page(content)

    async def start(request: Request) -> Response:
        options = {
            **(app.swagger_ui_parameters or {}),
            "url": _root(request) + openapi_url,
            "dom_id": "#swagger-ui",
            "deepLinking": True,
        }
        return Response(f"SwaggerUIBundle({json.dumps(options)});", media_type="text/javascript")

    async def file(request: Request) -> Response:
        return _file("swagger-ui", request.path_params["name"], _SWAGGER_FILES)

    return {docs_url or "/": page, f"{docs_url}/start.js": start, f"{docs_url}/{{name}}": file}


def _redoc(app: FastAPI, redoc_url: str, openapi_url: str) -> dict[str, Answer]:
    async def page(request: Request) -> Response:
        root = _root(request)
        content = _REDOC.format(
            title=html.escape(f"{app.title}: API"),
            base=html.escape(root + redoc_url),
            schema=html.escape(root + openapi_url),
        )
        return _page(content)

    async def file(request: Request) -> Response:
        return _file("redoc", request.path_params["name"], _REDOC_FILES)

    return {redoc_url or "/": page, f"{redoc_url}/{{name}}": file}


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _page(content: str) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "X-Frame-Options": "DENY"}
    return Response(content, media_type="text/html", headers=headers)


def _file(page: str, name: str, files: Mapping[str, str]) -> Response:
    if name not in files:
        return Response(status_code=404)
    return FileResponse(_FILES / page / name, media_type=files[name])
