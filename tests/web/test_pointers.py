"""Pointers: RFC 6901 into what the client sent, and nothing that it never wrote."""

from typing import Annotated, Any, Literal, Union

import pytest
from fastapi import Body, FastAPI, Form, Header, Query
from httpx2 import AsyncClient
from pydantic import BaseModel, BeforeValidator, Field, model_validator

import neonkit
from neonkit import Settings
from neonkit.web._pointers import pointer_into


class Cat(BaseModel):
    """A kind of pet, with a field that is called as its tag is."""

    kind: Literal["cat"]
    lives: int
    cat: "Cat | None" = None


class Dog(BaseModel):
    """Another one."""

    kind: Literal["dog"]
    barks: dict[str, int] = {}


Pet = Annotated[Union[Cat, Dog], Field(discriminator="kind")]  # noqa: UP007  # as people write it


class Owner(BaseModel):
    """Who has them."""

    pets: list[Pet] = []
    either: int | list[int] = 0
    named: dict[str, Cat | Dog] = {}
    doubled: Annotated[int, BeforeValidator(lambda value: value)] = 0
    escaped: int = Field(default=0, alias="a/b~c")

    @model_validator(mode="after")
    def check(self) -> "Owner":
        """Refuse one whole."""
        if self.doubled == 13:
            raise ValueError("unlucky")
        return self


@pytest.fixture
def app() -> FastAPI:
    """An app that takes all of it in several places."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.post("/owners")
    async def owner(body: Owner) -> None:
        """Take one."""
        del body

    @app.post("/pets")
    async def pet(body: Pet) -> None:
        """Take one."""
        del body

    @app.post("/embedded")
    async def embedded(pet: Annotated[Pet, Body()], n: Annotated[int, Body()]) -> None:
        """Take two parts of one body."""
        del pet, n

    @app.get("/query/{n}")
    async def query(
        n: int,
        either: Annotated[int | bool, Query()] = 0,
        many: Annotated[list[int], Query()] = [],  # noqa: B006  # FastAPI copies it
        x_number: Annotated[int, Header()] = 0,
    ) -> None:
        """Take some of each."""
        del n, either, many, x_number

    @app.post("/form")
    async def form(count: Annotated[int | bool, Form()]) -> None:
        """Take a form."""
        del count

    return app


def _pointers(told: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in told["errors"]}


BARK = "/body/pets/0/barks/x~1y"
CAT = {"kind": "cat", "lives": 9}


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/owners", {"pets": [CAT, {"kind": "cat", "lives": "x"}]}, {"/body/pets/1/lives"}),
        ("/owners", {"pets": [{"kind": "cat"}]}, {"/body/pets/0/lives"}),
        ("/owners", {"pets": [{**CAT, "cat": {**CAT, "lives": "x"}}]}, {"/body/pets/0/cat/lives"}),
        ("/owners", {"pets": [{**CAT, "cat": 5}]}, {"/body/pets/0/cat"}),
        ("/owners", {"pets": [{"kind": "cow"}]}, {"/body/pets/0"}),
        ("/owners", {"pets": [{"kind": "dog", "barks": {"x/y": "z"}}]}, {BARK}),
        ("/owners", {"either": "x"}, {"/body/either"}),
        ("/owners", {"either": [1, "x"]}, {"/body/either", "/body/either/1"}),
        ("/owners", {"named": {"Cat": {"kind": "cat", "lives": "x"}}},
         {"/body/named/Cat/lives", "/body/named/Cat/kind"}),
        ("/owners", {"doubled": "x"}, {"/body/doubled"}),
        ("/owners", {"doubled": 13}, {"/body"}),
        ("/owners", {"a/b~c": "x"}, {"/body/a~1b~0c"}),
        ("/owners", [], {"/body"}),
        ("/pets", {"kind": "cat", "lives": "x"}, {"/body/lives"}),
        ("/pets", {"kind": "cat"}, {"/body/lives"}),
        ("/pets", {}, {"/body"}),
        ("/embedded", {"pet": {"kind": "cat", "lives": "x"}}, {"/body/pet/lives", "/body/n"}),
    ],
)  # fmt: skip
async def test_a_fault_in_a_body_is_where_the_client_wrote_it(
    client: AsyncClient, path: str, body: object, pointers: set[str]
) -> None:
    """Neither a union's member nor a discriminator's tag is a step, unless it is a key as well."""
    response = await client.post(path, json=body)

    assert response.status_code == 422
    assert _pointers(response.json()) == pointers


@pytest.mark.parametrize(
    ("query", "headers", "pointers"),
    [
        ("/query/x", {}, {"/path/n"}),
        ("/query/1?either=x", {}, {"/query/either"}),
        ("/query/1?many=1&many=x", {}, {"/query/many/1"}),
        ("/query/1", {"X-Number": "x"}, {"/header/x-number"}),
    ],
)
async def test_a_fault_beside_the_body_is_named_by_its_parameter(
    client: AsyncClient, query: str, headers: dict[str, str], pointers: set[str]
) -> None:
    """The parameter's name, and which of several values, but no type that was tried."""
    response = await client.get(query, headers=headers)

    assert response.status_code == 422
    assert _pointers(response.json()) == pointers


async def test_a_fault_in_a_form_is_named_by_its_field(client: AsyncClient) -> None:
    """The same for forms."""
    response = await client.post("/form", data={"count": "x"})

    assert _pointers(response.json()) == {"/body/count"}


def test_nested_keys_of_one_name_cost_no_more() -> None:
    """A chain of one key whose end is not what was refused: all ways are 2^60, and it returns."""
    body: dict[str, Any] = {}
    for _ in range(60):
        body = {"a": body}
    entry = {"loc": ("body", *["a"] * 60), "type": "value_error", "input": object()}

    assert pointer_into(body, entry) == "/body" + "/a" * 60
