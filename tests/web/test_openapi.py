"""The schema: each operation with an id of its own, and the app's own parts as they were."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Form, Header, Request
from fastapi.routing import APIRoute
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel

import neonkit
from neonkit import Database, IdempotencyKey, OptionalIdempotencyKey, Settings
from neonkit.errors import ConfigurationError
from neonkit.testing._app_lifespan import running
from neonkit.web import _docs_page, raises
from neonkit.web._problems import TABLE


class Problem(BaseModel):
    """A riddle: a model of the app's, called as a schema of ours is."""

    riddle: str


class FieldProblem(BaseModel):
    """Another one."""

    field: str


class Told(BaseModel):
    """What this app tells of a refusal."""

    reason: str


def _app(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    neonkit.install(app, Settings(environment="test"))
    return app


def test_two_functions_of_one_name_have_two_ids() -> None:
    """The first keeps its name; the others get FastAPI's longer one, included ones too."""
    app, router = _app(), APIRouter(prefix="/inner")

    def upload(a: Annotated[str, Form()]) -> None:
        del a

    def other(b: Annotated[int, Form()]) -> None:
        del b

    other.__name__ = "upload"
    app.post("/a")(upload)
    app.post("/b")(other)
    router.post("/c")(other)
    app.include_router(router)
    schema = app.openapi()
    ids = {
        path: each["post"]["operationId"]
        for path, each in schema["paths"].items()
        if "post" in each
    }

    assert ids == {"/a": "upload", "/b": "upload_b_post", "/inner/c": "upload_inner_c_post"}
    assert {"Body_upload", "Body_upload_b_post"} <= set(schema["components"]["schemas"])


def test_the_apps_own_way_of_naming_operations_stays() -> None:
    """`generate_unique_id_function` is what it was."""
    app = _app(generate_unique_id_function=_my_id)
    app.add_api_route("/x", lambda: None, name="x")

    assert app.openapi()["paths"]["/x"]["get"]["operationId"] == "my_x"


def _my_id(route: APIRoute) -> str:
    return f"my_{route.name}"


def test_what_cannot_be_sent_is_not_in_the_schema() -> None:
    """Neither a parameter nor a form's field is `null`, and one that must be there is not empty."""
    app = _app()

    @app.post("/things")
    def make(
        name: Annotated[str, Form()],
        note: Annotated[str | None, Form()] = None,
        sort: str | None = None,
        size: int | float | None = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> None:
        del name, note, sort, size, if_none_match

    schema = app.openapi()
    told = {
        each["name"]: each["schema"] for each in schema["paths"]["/things"]["post"]["parameters"]
    }
    form = schema["components"]["schemas"]["Body_make"]["properties"]

    assert (told["sort"]["type"], told["if-none-match"]["type"]) == ("string", "string")
    assert told["size"]["anyOf"] == [{"type": "integer"}, {"type": "number"}]
    assert (form["name"]["minLength"], form["note"]["type"]) == (1, "string")


def test_a_key_that_is_required_is_so_in_the_schema() -> None:
    """`IdempotencyKey` is a required header, the optional one is not; both tell their form."""
    app = _app()

    @app.post("/must")
    async def must(key: IdempotencyKey) -> None:
        del key

    @app.post("/may")
    async def may(key: OptionalIdempotencyKey) -> None:
        del key

    paths = app.openapi()["paths"]
    (must_have,), (may_have,) = (paths[path]["post"]["parameters"] for path in ("/must", "/may"))

    assert (must_have["required"], may_have["required"]) == (True, False)
    assert must_have["schema"] == may_have["schema"]
    assert must_have["schema"]["pattern"] == r"^[\x20-\x7e]{8,255}$"


def test_models_called_as_ours_stay_the_apps() -> None:
    """Ours take another name, and every reference leads to the right one."""
    app = _app()

    @app.post("/riddles")
    def riddle(body: Problem) -> FieldProblem:
        return FieldProblem(field=body.riddle)

    schema = app.openapi()
    schemas, answers = (
        schema["components"]["schemas"],
        schema["paths"]["/riddles"]["post"]["responses"],
    )
    told = answers["422"]["content"]["application/problem+json"]["schema"]["$ref"]

    assert set(schemas["Problem"]["properties"]) == {"riddle"}
    assert set(schemas["FieldProblem"]["properties"]) == {"field"}
    assert schemas[told.rpartition("/")[2]]["properties"]["instance"]


def test_an_own_422_stays_the_apps() -> None:
    """A route that documents its own refusal of the input does so here too."""
    app = _app()

    @app.post("/own", responses={422: {"model": Told, "description": "Why not."}})
    def own(body: Told) -> Told:
        return body

    @app.post("/usual")
    def usual(body: Told) -> Told:
        return body

    schema = app.openapi()
    answer = schema["paths"]["/own"]["post"]["responses"]["422"]

    assert answer["description"] == "Why not."
    assert list(answer["content"]) == ["application/json"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_webhooks_and_callbacks_stay_whole() -> None:
    """What others are to answer is described as FastAPI does; no reference leads nowhere."""
    app, callbacks = _app(), APIRouter()

    @app.webhooks.post("new-note", openapi_extra=raises(*TABLE))
    def new_note(body: Told) -> None:
        del body

    @callbacks.post("{$callback_url}/done")
    def done(body: Told) -> None:
        del body

    @app.post("/notes", callbacks=callbacks.routes)
    def note(body: Told) -> None:
        del body

    schema = app.openapi()
    told = str(schema)

    assert "HTTPValidationError" in schema["components"]["schemas"]
    assert "ValidationError" in schema["components"]["schemas"]
    assert "x-raises" not in told
    assert schema["paths"]["/notes"]["post"]["callbacks"]["done"]


@pytest.fixture
async def behind(db: Database) -> AsyncIterator[AsyncClient]:
    """An app behind a proxy that takes a prefix off."""
    app = _app()

    @app.get("/here")
    def here(request: Request) -> str:
        return str(request.url_for("here"))

    async with running(app, db) as asgi:
        transport = ASGITransport(asgi, root_path="/behind")
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_root_path_is_the_first_server(behind: AsyncClient) -> None:
    """As with FastAPI's own schema; the pages find their files below it."""
    schema = (await behind.get("/openapi.json")).json()

    assert schema["servers"] == [{"url": "/behind"}]
    assert (await behind.get("/here")).json().endswith("/behind/here")
    assert 'src="/behind/docs/start.js"' in (await behind.get("/docs")).text


async def test_redoc_is_served_without_a_network(behind: AsyncClient) -> None:
    """The other page of FastAPI's is there, and all that it loads."""
    page = await behind.get("/redoc")

    assert page.status_code == 200
    assert "http" not in page.text
    assert 'src="/behind/redoc/redoc.standalone.js"' in page.text
    assert (await behind.get("/redoc/redoc.standalone.js")).status_code == 200
    assert (await behind.get("/redoc/start.js")).status_code == 404


@pytest.mark.parametrize("page", ["swagger-ui", "redoc"])
def test_the_pages_files_stand_beside_their_licences(page: str) -> None:
    """What others wrote is distributed with its licence, and those of what is bundled in it."""
    folder = Path(_docs_page.__file__).with_name("_docs_files") / page

    assert (folder / "LICENSE").stat().st_size > 500
    for bundle in folder.glob("*.js"):
        assert folder.joinpath(f"{bundle.name}.LICENSE.txt").is_file()


def test_an_error_that_nobody_has_named_is_told_with_its_route() -> None:
    """`raises` of a class without a problem says what to write, where the schema is made."""
    app = _app()

    class OutOfStockError(Exception):
        pass

    @app.get("/buy", openapi_extra=raises(OutOfStockError))
    async def buy() -> None: ...

    with pytest.raises(ConfigurationError, match=r"buy .*OutOfStockError.*add_problem"):
        app.openapi()
    neonkit.add_problem(app, OutOfStockError, 409, "out-of-stock")
    assert "409" in app.openapi()["paths"]["/buy"]["get"]["responses"]
