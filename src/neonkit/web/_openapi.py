"""What each operation can answer besides success, in its OpenAPI entry."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from neonkit.web._problems import INTERNAL, MEDIA_TYPE, Problem

_RAISES = "x-raises"
_SCHEMA = "#/components/schemas/Problem"
_ALWAYS = (
    Problem(400, "malformed-header"),
    Problem(414, "uri-too-long"),
    Problem(415, "unsupported-media-type"),
    Problem(431, "header-too-large"),
    INTERNAL,
    Problem(503, "database-unavailable"),
    Problem(504, "timeout"),
)
_WITH_CREDENTIALS = (Problem(401, "unauthorized"), Problem(401, "invalid-token"))
_WITH_KEY = (
    Problem(400, "idempotency-key-missing"),
    Problem(400, "idempotency-key-invalid"),
    Problem(409, "idempotency-in-progress"),
    Problem(422, "idempotency-key-reused"),
)
_WITH_INPUT = (Problem(422, "validation-error"),)
_WITH_BODY = (Problem(400, "malformed-json"), Problem(413, "payload-too-large"))
_COMPONENTS: dict[str, Any] = {
    "Problem": {
        "title": "Problem",
        "description": "An error, as RFC 9457 describes it.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string", "description": "The request id."},
            "errors": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/FieldProblem"},
            },
        },
    },
    "FieldProblem": {
        "title": "FieldProblem",
        "type": "object",
        "required": ["pointer", "code", "message"],
        "properties": {
            "pointer": {"type": "string", "description": "RFC 6901, such as /body/title."},
            "code": {"type": "string"},
            "message": {"type": "string"},
        },
    },
}


def raises(*kinds: type[Exception]) -> dict[str, Any]:
    """Document the errors that a route raises: `openapi_extra=raises(NotFoundError)`.

    Args:
        kinds: error classes of the toolkit's, or known to the app by `add_problem`.
    """
    return {_RAISES: [_name_of(kind) for kind in kinds]}


def document_problems(app: FastAPI) -> None:
    """Add the problems that every operation can give to the schema that `app` generates."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(generate(), app.state.neonkit.problems)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the schema


def readable_operation_ids(app: FastAPI) -> None:
    """Name each operation as its function is named, such as `create_post`."""
    app.router.generate_unique_id_function = _function_name


def _function_name(route: APIRoute) -> str:
    return route.name


def _name_of(kind: type[Exception]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _with_problems(
    schema: dict[str, Any], table: Mapping[type[Exception], Problem]
) -> dict[str, Any]:
    by_name = {_name_of(kind): problem for kind, problem in table.items()}
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            raised = [by_name[name] for name in operation.pop(_RAISES, ())]
            _add_problems(operation, raised)
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    components.update(_COMPONENTS)
    return schema


def _add_problems(operation: dict[str, Any], raised: list[Problem]) -> None:
    answers: dict[str, Any] = operation["responses"]
    answers.pop("422", None)
    kinds = [*raised, *_ALWAYS]
    if operation.get("security"):
        kinds += _WITH_CREDENTIALS
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())):
        kinds += _WITH_KEY
    if operation.get("parameters") or "requestBody" in operation:
        kinds += _WITH_INPUT
    if "requestBody" in operation:
        kinds += _WITH_BODY
    for status, answer in _responses(kinds).items():
        answers.setdefault(str(status), answer)


def _responses(kinds: Iterable[Problem]) -> dict[int | str, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind.slug)
    return {status: _response(slugs) for status, slugs in by_status.items()}


def _response(slugs: list[str]) -> dict[str, Any]:
    return {
        "description": " or ".join(slug.replace("-", " ").capitalize() for slug in slugs),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _SCHEMA}}},
    }
