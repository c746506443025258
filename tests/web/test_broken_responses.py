"""Responses that fail after their first byte, and background tasks that raise."""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import StreamingResponse
from httpx2 import AsyncClient

import neonkit
from neonkit import Settings
from neonkit.errors import NotFoundError
from neonkit.testing import LiveServer


@pytest.fixture
def app() -> FastAPI:
    """An app that fails when it is too late to say so."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/streams/{kind}")
    async def stream(kind: str) -> StreamingResponse:
        async def rows() -> AsyncIterator[str]:
            yield "first\n"
            raise NotFoundError if kind == "ours" else RuntimeError("the stream broke")

        return StreamingResponse(rows())

    @app.get("/tasks/{kind}")
    async def task(kind: str, tasks: BackgroundTasks) -> str:
        def later() -> None:
            raise NotFoundError if kind == "ours" else RuntimeError("the task failed")

        tasks.add_task(later)
        return "sent"

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("nobody expected this")

    @app.get("/values")
    async def values() -> int:
        return "s3cret-value"  # type: ignore[return-value]  # that it does not fit is the point

    return app


async def _ask(client: AsyncClient, path: str) -> None:
    try:
        response = await client.get(path, headers={"X-Request-ID": "told-apart"})
    except httpx2.RemoteProtocolError:
        return  # over TCP a stream that broke ends without its last chunk
    assert response.status_code == 200


def _lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == logger]


async def _check(
    client: AsyncClient, caplog: pytest.LogCaptureFixture, path: str, told: str
) -> None:
    route = path.rpartition("/")[0] + "/{kind}"
    accesses, errors = list[logging.LogRecord](), list[logging.LogRecord]()
    with caplog.at_level(logging.INFO):
        await _ask(client, path)
        for _ in range(50):  # over TCP the client is answered before the task has failed
            with suppress(httpx2.ReadError, httpx2.RemoteProtocolError):  # the server hung up
                await client.get("/health/live")
            accesses = [
                each for each in _lines(caplog, "neonkit.access") if vars(each)["route"] == route
            ]
            errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
            if accesses and errors:
                break
    (access,), (error,) = accesses, errors

    assert access.getMessage().startswith(f"GET {route} 200 ")
    assert error.name == "neonkit.errors"
    assert error.getMessage().startswith(f"GET {route}: {told}: ")
    assert vars(error)["request_id"] == vars(access)["request_id"] == "told-apart"
    assert error.exc_info is not None


CASES = [
    ("/streams/ours", "NotFoundError"),
    ("/streams/foreign", "RuntimeError"),
    ("/tasks/ours", "NotFoundError"),
    ("/tasks/foreign", "RuntimeError"),
]


@pytest.mark.parametrize(("path", "told"), CASES)
async def test_what_was_sent_is_logged_and_the_failure_told_once(
    client: AsyncClient, caplog: pytest.LogCaptureFixture, path: str, told: str
) -> None:
    """The response has its access line, and the failure one line with route and request id."""
    await _check(client, caplog, path, told)


@pytest.mark.parametrize(("path", "told"), CASES)
async def test_the_same_over_tcp(
    live_server: LiveServer,
    client: AsyncClient,
    caplog: pytest.LogCaptureFixture,
    path: str,
    told: str,
) -> None:
    """Under a real server too, whose own traceback without route and id is left out."""
    assert live_server.url
    await _check(client, caplog, path, told)


async def test_a_defect_is_told_once_over_tcp(
    live_server: LiveServer, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500 has one error line, though the error goes on to the server; the client may go on."""
    assert live_server.url
    for _ in range(3):
        caplog.clear()
        response = await client.get("/boom")
        told = [record.name for record in caplog.records if record.levelno >= logging.ERROR]

        assert (response.status_code, response.headers["connection"]) == (500, "close")
        assert told == ["neonkit.errors"]


async def test_a_response_that_failed_late_is_counted(app: FastAPI, client: AsyncClient) -> None:
    """The metric counts the response that was sent, whatever happened after it."""
    for path, _ in CASES:
        await client.get(path)
    told = app.state.neonkit.metrics.render().decode()

    for route in ("/streams/{kind}", "/tasks/{kind}"):
        line = f'http_request_duration_seconds_count{{method="GET",route="{route}",status="200"}}'
        assert f"{line} 2.0" in told


async def test_the_error_goes_on_to_what_wraps_the_app(app: FastAPI, client: AsyncClient) -> None:
    """An error tracker around the app sees a defect, as it does around any app."""
    seen: list[Exception] = []

    async def tracked(scope: object, receive: object, send: object) -> None:
        try:
            await app(scope, receive, send)  # type: ignore[arg-type]  # handed on as it came
        except RuntimeError as error:
            seen.append(error)
            raise

    transport = httpx2.ASGITransport(tracked, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as around:
        assert (await around.get("/boom")).status_code == 500
    assert [str(error) for error in seen] == ["nobody expected this"]
    assert (await client.get("/health/live")).status_code == 200


async def test_a_validation_error_is_told_without_values(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names pointer and fault of a response that does not fit, not what was in it."""
    response = await client.get("/values")

    (error,) = _lines(caplog, "neonkit.errors")
    assert response.status_code == 500
    assert error.getMessage().startswith(
        f"GET /values: {ResponseValidationError.__name__}: /response: "
    )
    assert "s3cret" not in caplog.text
