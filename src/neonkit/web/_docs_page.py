"""The interactive API page, served by the app itself: nothing is fetched from elsewhere."""

import html
import json
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
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


def remove_docs(app: FastAPI) -> None:
    """Take FastAPI's own pages off the app, the schema's address included."""
    paths = {
        app.openapi_url,
        app.docs_url,
        app.redoc_url,
        app.swagger_ui_oauth2_redirect_url,
    }
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) not in paths
    ]


def serve_docs(app: FastAPI) -> None:
    """Serve the schema, and Swagger UI at the app's `docs_url`, under a policy of its own."""
    remove_docs(app)
    if not (app.openapi_url and app.docs_url):
        return
    docs_url = app.docs_url.rstrip("/")

    async def schema(_request: Request) -> Response:
        return Response(json.dumps(app.openapi()), media_type="application/json")

    async def page(request: Request) -> Response:
        base = request.scope.get("root_path", "").rstrip("/") + docs_url
        content = _PAGE.format(title=html.escape(f"{app.title}: API"), base=html.escape(base))
        return Response(content, media_type="text/html", headers=_headers())

    async def start(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        options = {
            **(app.swagger_ui_parameters or {}),
            "url": f"{root}{app.openapi_url}",
            "dom_id": "#swagger-ui",
            "deepLinking": True,
        }
        return Response(f"SwaggerUIBundle({json.dumps(options)});", media_type="text/javascript")

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            return Response(status_code=404)
        return FileResponse(_static() / name, media_type=_FILES[name])

    app.add_route(app.openapi_url, schema, include_in_schema=False)
    app.add_route(docs_url or "/", page, include_in_schema=False)
    app.add_route(f"{docs_url}/start.js", start, include_in_schema=False)
    app.add_route(f"{docs_url}/{{name}}", file, include_in_schema=False)


def _headers() -> dict[str, str]:
    return {"Content-Security-Policy": _POLICY}


def _static() -> Path:
    spec = find_spec("fastapi_offline")
    assert spec is not None, "a dependency of neonkit"  # noqa: S101
    assert spec.origin is not None, "a package on disk"  # noqa: S101
    return Path(spec.origin).parent / "static"
