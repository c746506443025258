"""The pages of the API, served by the app itself: nothing is fetched from elsewhere."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute

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


def serve_docs(app: FastAPI) -> None:
    """Serve the schema, and its pages where the app has them, under a policy of their own."""
    remove_docs(app)
    if not app.openapi_url:
        return

    async def schema(request: Request) -> Response:
        return Response(json.dumps(_with_server(app, request)), media_type="application/json")

    app.add_route(app.openapi_url, schema, include_in_schema=False)
    if app.docs_url:
        _serve_swagger(app, app.docs_url.rstrip("/"), app.openapi_url)
    if app.redoc_url:
        _serve_redoc(app, app.redoc_url.rstrip("/"), app.openapi_url)


def _with_server(app: FastAPI, request: Request) -> dict[str, Any]:
    """The schema, with the prefix that a proxy has taken off as its first server."""
    schema = app.openapi()
    root, servers = _root(request), schema.get("servers", [])
    if not (root and app.root_path_in_servers) or any(each.get("url") == root for each in servers):
        return schema
    return {**schema, "servers": [{"url": root}, *servers]}


def _serve_swagger(app: FastAPI, docs_url: str, openapi_url: str) -> None:
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

    app.add_route(docs_url or "/", page, include_in_schema=False)
    app.add_route(f"{docs_url}/start.js", start, include_in_schema=False)
    app.add_route(f"{docs_url}/{{name}}", file, include_in_schema=False)


def _serve_redoc(app: FastAPI, redoc_url: str, openapi_url: str) -> None:
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

    app.add_route(redoc_url or "/", page, include_in_schema=False)
    app.add_route(f"{redoc_url}/{{name}}", file, include_in_schema=False)


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
