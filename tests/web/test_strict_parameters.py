"""Parameters that are read in one way only: `strict_parameters` on a router."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from httpx2 import AsyncClient

import neonkit
from neonkit import PageDep, Settings
from neonkit.web import strict_parameters

NO_INTEGERS = ["+1", "01", "00", "-0", "1.0", "1.", "%201", "1%20", "1e0", "1_0", "%EF%BC%91"]


@pytest.fixture
def app() -> FastAPI:
    """An app with numbers and texts in path and query."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))
    router = APIRouter(prefix="/crates", dependencies=[Depends(strict_parameters)])

    @router.get("/{crate_id}")
    async def read(
        crate_id: int,
        _page: PageDep,
        below: int | None = None,
        of: Annotated[list[int] | None, Query()] = None,
        name: str = "",
    ) -> list[object]:
        return [crate_id, below, of, name]

    @router.get("/named/{name}")
    async def read_named(name: str) -> str:
        return name

    app.include_router(router)
    return app


@pytest.mark.parametrize("text", NO_INTEGERS)
@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/crates/{}", "/path/crate_id"),
        ("/crates/1?below={}", "/query/below"),
        ("/crates/1?limit={}", "/query/limit"),
        ("/crates/1?of=1&of={}", "/query/of"),
    ],
)
async def test_an_integer_has_one_spelling(
    client: AsyncClient, path: str, pointer: str, text: str
) -> None:
    """Sign, blank, point, exponent, leading zero and other digits are 422, with the place."""
    answer = await client.get(path.format(text.replace("+", "%2B") if "?" in path else text))

    assert answer.status_code == 422
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
        (pointer, "int_parsing")
    ]


async def test_what_is_no_integer_is_left_alone(client: AsyncClient) -> None:
    """Texts, and integers as they are written; below zero as well, where a route takes them."""
    numbers = await client.get("/crates/-7?below=0&of=10&of=-2&name=01")
    named = await client.get("/crates/named/01")

    assert numbers.json() == [-7, 0, [10, -2], "01"]
    assert named.json() == "01"
