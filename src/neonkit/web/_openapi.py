"""The OpenAPI schema: how operations can fail, their ids, and where `/docs` signs in."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute

from neonkit import errors
from neonkit._seams.fastapi import name_operations
from neonkit.web._bearer_token import SCHEME
from neonkit.web._idempotency_key import IS_REQUIRED
from neonkit.web._password_form import password_form_path
from neonkit.web._problems import INTERNAL, INVALID, MEDIA_TYPE, TABLE, Problem
from neonkit.web._runtime import Runtime

_RAISES = "x-raises"
_UNKNOWN = (
    "{operation} says raises({kind}), for which there is no problem: write "
    "neonkit.add_problem(app, …, status, slug) for it"
)
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
_REF = "#/components/schemas/"
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

_ALWAYS = (
    TABLE[errors.MalformedHeaderError],
    TABLE[errors.UriTooLongError],
    TABLE[errors.UnsupportedMediaTypeError],
    TABLE[errors.HeaderTooLargeError],
    INTERNAL,
    TABLE[errors.DatabaseUnavailableError],
    TABLE[errors.DeadlineError],
)
_WITH_CREDENTIALS = (TABLE[errors.UnauthorizedError], TABLE[errors.InvalidTokenError])
_WITH_KEY = (
    TABLE[errors.IdempotencyKeyMissingError],
    TABLE[errors.IdempotencyKeyInvalidError],
    TABLE[errors.IdempotencyInProgressError],
    TABLE[errors.IdempotencyKeyReusedError],
)
_WITH_IF_MATCH = (TABLE[errors.StaleVersionError],)
_WITH_INPUT = (INVALID,)
_WITH_BODY = (
    TABLE[errors.RequestTimeoutError],
    TABLE[errors.MalformedJsonError],
    TABLE[errors.PayloadTooLargeError],
)
_WITH_JSON = (TABLE[errors.NotAcceptableError],)
_FASTAPIS_422 = {"$ref": f"{_REF}HTTPValidationError"}


def _problem_schema(field: str) -> dict[str, Any]:
    return {
        "title": "Problem",
        "description": "An error, as RFC 9457 describes it.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"description": "A sentence; or what the route said in its place."},
            "instance": {"type": "string", "description": "The request id."},
            "errors": {"type": "array", "items": {"$ref": _REF + field}},
        },
    }


_FIELD_SCHEMA: dict[str, Any] = {
    "title": "FieldProblem",
    "type": "object",
    "required": ["pointer", "code", "message"],
    "properties": {
        "pointer": {"type": "string", "description": "RFC 6901, such as /body/title."},
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
}


def raises(*kinds: type[Exception]) -> dict[str, Any]:
    """Document the errors that a route raises: `openapi_extra=raises(NotFoundError)`.

    Args:
        kinds: error classes of the toolkit's, or known to the app by `add_problem`.
    """
    return {_RAISES: [_name_of(kind) for kind in kinds]}


def document(app: FastAPI) -> None:
    """Add to the schema the problems of every operation, and where `/docs` signs in."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            app.openapi_schema = None  # FastAPI keeps it at once, and it may be refused here
            _add_sign_in(schema, app)
            _add_all_problems(schema, Runtime.of(app).problems)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the schema


def readable_operation_ids(app: FastAPI) -> None:
    """Name each operation as its function is named, such as `create_post`.

    Of several functions of one name, the ones after the first keep FastAPI's longer name. An app
    that names its operations itself goes on doing so.
    """
    if not isinstance(app.router.generate_unique_id_function, DefaultPlaceholder):
        return
    named: dict[str, tuple[str, ...]] = {}

    def operation_id(route: APIRoute) -> str:
        place = (route.path_format, *sorted(route.methods or ()))
        if named.setdefault(route.name, place) == place:  # FastAPI asks more than once for a route
            return route.name
        return re.sub(r"\W", "_", f"{route.name}{place[0]}_{place[1].lower()}")

    name_operations(app, operation_id)


def _name_of(kind: type[Exception]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _add_sign_in(schema: dict[str, Any], app: FastAPI) -> None:
    """Let `/docs` sign in at the route that takes FastAPI's password form, if there is one."""
    schemes = schema.get("components", {}).get("securitySchemes", {})
    path = password_form_path(app)
    if SCHEME in schemes and path is not None:
        flow = {"tokenUrl": path.removeprefix("/"), "scopes": {}}
        schemes[SCHEME] = {"type": "oauth2", "flows": {"password": flow}}


def _add_all_problems(schema: dict[str, Any], table: Mapping[type[Exception], Problem]) -> None:
    by_name = {_name_of(kind): problem for kind, problem in table.items()}
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    problem, field = _free_name("Problem", components), _free_name("FieldProblem", components)
    for operation in _operations(schema.get("webhooks", {})):
        operation.pop(_RAISES, None)
    for operation in _operations(schema.get("paths", {})):
        _tell_of_parameters(operation)
        _tell_of_form(operation, components)
        raised: list[str] = operation.pop(_RAISES, [])
        unknown = [name for name in raised if name not in by_name]
        if unknown:
            operation_id = operation.get("operationId")
            raise errors.ConfigurationError(
                _UNKNOWN.format(operation=operation_id, kind=unknown[0])
            )
        _add_problems(operation, [by_name[name] for name in raised], problem)
    components.update({problem: _problem_schema(field), field: _FIELD_SCHEMA})
    for name in ("HTTPValidationError", "ValidationError"):  # the first refers to the second
        if f'"{_REF}{name}"' not in json.dumps(schema):
            components.pop(name, None)


def _free_name(name: str, components: Mapping[str, Any]) -> str:
    """The name of a schema of ours, beside those of the app's own models."""
    return f"{name}Document" if name in components else name


def _operations(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for path in paths.values():
        for method, operation in path.items():
            if method in _METHODS:
                yield operation


def _add_problems(operation: dict[str, Any], raised: list[Problem], schema: str) -> None:
    answers: dict[str, Any] = operation["responses"]
    if _is_fastapis(answers.get("422", {})):
        del answers["422"]
    kinds = [*raised, *_ALWAYS]
    if operation.get("security"):
        kinds += _WITH_CREDENTIALS
    if _gives_json(answers):
        kinds += _WITH_JSON
    headers = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "header"}
    if "Idempotency-Key" in headers:
        kinds += _WITH_KEY
    if "If-Match" in headers:
        kinds += _WITH_IF_MATCH
    if "If-None-Match" in headers:
        answers.setdefault("304", {"description": "Not modified: the client has it already"})
    if operation.get("parameters") or "requestBody" in operation:
        kinds += _WITH_INPUT
    if "requestBody" in operation:
        kinds += _WITH_BODY
    for status, answer in _responses(kinds, schema).items():
        answers.setdefault(str(status), answer)


def _tell_of_parameters(operation: dict[str, Any]) -> None:
    """Say which parameters the app requires, and of the others no `null`, which nobody can send."""
    for parameter in operation.get("parameters", ()):
        schema = parameter.get("schema", {})
        parameter["required"] = schema.pop(IS_REQUIRED, False) or parameter["required"]
        _leave_out_null(schema)


def _tell_of_form(operation: dict[str, Any], components: dict[str, Any]) -> None:
    """Say what a form can send: no `null`, and nothing empty for a field that it must have."""
    content = operation.get("requestBody", {}).get("content", {})
    for media_type in _FORMS & content.keys():
        name = content[media_type].get("schema", {}).get("$ref", "").rpartition("/")[2]
        form = components.get(name, {})
        for field, schema in form.get("properties", {}).items():
            _leave_out_null(schema)
            if field in form.get("required", ()) and schema.get("type") == "string":
                schema.setdefault("minLength", 1)  # FastAPI takes an empty one for a missing one


def _leave_out_null(schema: dict[str, Any]) -> None:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0] | schema
    elif kinds:
        schema["anyOf"] = kinds


def _gives_json(answers: Mapping[str, Any]) -> bool:
    """True if a model says what the JSON of its success is."""
    success = (answer for status, answer in answers.items() if status.startswith("2"))
    return any(
        answer.get("content", {}).get("application/json", {}).get("schema") for answer in success
    )


def _is_fastapis(answer: Mapping[str, Any]) -> bool:
    return any(kind.get("schema") == _FASTAPIS_422 for kind in answer.get("content", {}).values())


def _responses(kinds: Iterable[Problem], schema: str) -> dict[int, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind.slug)
    return {status: _response(slugs, schema) for status, slugs in by_status.items()}


def _response(slugs: list[str], schema: str) -> dict[str, Any]:
    return {
        "description": " or ".join(slug.replace("-", " ").capitalize() for slug in slugs),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF + schema}}},
    }
