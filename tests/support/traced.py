"""What a tracer's real package costs and sees, told as JSON: `python traced.py DRIVER URL TRACER`.

Runs in an environment that has the tracers, each time as a process of its own, since they patch
what they trace. With `--late` the tracer comes after neonkit was imported.
"""

# pyright: reportMissingImports=false
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from neonkit.db import Driver

Spans = Callable[[], list[str]]


def _opentelemetry() -> tuple[Any, Spans]:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)

    def spans() -> list[str]:
        names = [
            str((span.attributes or {}).get("db.statement", "")).split(" ")[0]
            for span in memory.get_finished_spans()
        ]
        memory.clear()
        return [name for name in names if name in {"INSERT", "SELECT"}]

    return provider, spans


def otel_sqlalchemy(_driver: str) -> Spans:
    """Listens to engines; its own check of versions has not heard of SQLAlchemy 2.1."""
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    _, spans = _opentelemetry()
    SQLAlchemyInstrumentor().instrument(skip_dep_check=True)
    return spans


def otel_driver(driver: str) -> Spans:
    """Wraps the driver's own methods."""
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

    _, spans = _opentelemetry()
    kind: Any = AsyncPGInstrumentor if driver == "asyncpg" else PsycopgInstrumentor
    kind().instrument(skip_dep_check=True)
    return spans


def sentry(_driver: str) -> Spans:
    """Listens to every engine of the process."""
    import sentry_sdk

    found: list[str] = []

    def keep(event: Any, _hint: object) -> None:  # noqa: ANN401  # Sentry's own dictionary
        found.extend(
            span["description"].split(" ")[0]
            for span in event["spans"]
            if span["op"] == "db" and span["origin"] == "auto.db.sqlalchemy"
        )

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:1/1", traces_sample_rate=1.0, before_send_transaction=keep
    )

    def spans() -> list[str]:
        seen = found.copy()
        found.clear()
        return seen

    return spans


def datadog(_driver: str) -> Spans:
    """Patches `sqlalchemy.create_engine`, and is given the engine, as its docs say for others."""
    os.environ["DD_TRACE_ENABLED"] = "true"
    os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
    os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"
    os.environ["DD_TRACE_STARTUP_LOGS"] = "false"
    import ddtrace
    from ddtrace.trace import TraceFilter

    found: list[str] = []

    class Keep(TraceFilter):  # type: ignore[misc]  # it is not here
        def process_trace(self, trace: Any) -> None:  # noqa: ANN401  # a list of Datadog's own
            found.extend(
                span.resource.split(" ")[0]
                for span in trace
                if span.span_type == "sql" and span.resource[:6] in {"INSERT", "SELECT"}
            )

    ddtrace.tracer.configure(trace_processors=[Keep()])

    def spans() -> list[str]:
        seen = found.copy()
        found.clear()
        return seen

    return spans


def nothing(_driver: str) -> Spans:
    """No tracer."""
    return list


TRACERS = {each.__name__: each for each in (nothing, otel_sqlalchemy, otel_driver, sentry, datadog)}


def _transaction(tracer: str) -> AbstractContextManager[object]:
    if tracer == "sentry":
        import sentry_sdk

        begun: AbstractContextManager[object] = sentry_sdk.start_transaction(op="test", name="test")
        return begun
    return nullcontext()


async def measure(tracer: str, spans: Spans, driver: "Driver", url: str) -> dict[str, Any]:
    """Create and read rows, and count."""
    from sqlmodel import Field, SQLModel, select

    import neonkit
    from neonkit.dsn import Dsn
    from neonkit.local import WireProxy

    class Traced(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        name: str

    async with (
        WireProxy.start(Dsn.parse(url)) as wire,
        neonkit.Database(neonkit.create_engine(wire.url, driver=driver)) as db,
    ):
        if tracer == "datadog":
            from ddtrace.contrib.internal.sqlalchemy.engine import trace_engine

            trace_engine(db.engine.sync_engine)
        async with db.engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.drop_all)
            await connection.run_sync(SQLModel.metadata.create_all)

        async def create() -> None:
            async with db.session() as session:
                session.add(Traced(name="a"))
                await session.commit()

        async def read() -> None:
            async with db.session() as session:
                (await session.exec(select(Traced).limit(1))).one()

        await create()
        await read()
        spans()
        told: dict[str, Any] = {}
        for work in (create, read):
            with wire.counting() as counted, _transaction(tracer):
                await work()
            told[work.__name__] = {"trips": counted.count, "spans": spans()}
        started = time.process_time()
        for _ in range(100):
            await read()
        told["microseconds"] = round((time.process_time() - started) * 10_000)
    return told


if __name__ == "__main__":
    _, driver, url, tracer, *options = sys.argv
    if options:
        import neonkit  # noqa: F401  # so that the tracer comes late
    spans = TRACERS[tracer](driver)
    sys.stdout.write(json.dumps(asyncio.run(measure(tracer, spans, cast("Driver", driver), url))))
