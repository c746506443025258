"""Metrics for Prometheus: requests, statements and the pool, the workers of a service added up."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import ClassVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from neonkit.db import PoolUse, Stage
from neonkit.errors import ConfigurationError
from neonkit.observe._statement_events import StatementEvent

_SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own; read when it is imported
_NO_FOLDER = (
    "several workers add up their metrics in files, and there is no folder for them ({}): mount a "
    "tmpfs at /tmp, set PROMETHEUS_MULTIPROC_DIR to a folder that may be written, or run 1 worker"
)
_SAMPLING = 1.0  # seconds: what a worker's pool looks like to a scrape that another one answers
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Metrics:
    """The numbers of one app.

    Labels are the request's method, its route's template and the status: never a path or a
    value, so that no client can make series up. With several workers, each writes to files in
    a folder that they share, and the one that is asked adds them up.
    """

    media_type: ClassVar[str] = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time until the response began",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._trips = Counter(
            "database_round_trips",
            "How often requests waited for the database",
            ("method", "route"),
            registry=self._registry,
        )
        self._queries = Histogram(
            "database_query_duration_seconds",
            "Time of one statement",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._slow_queries = Counter(
            "database_slow_queries",
            "Statements that took SLOW_QUERY_SECONDS or longer",
            ("route",),
            registry=self._registry,
        )
        self._wakeups = Histogram(
            "database_wakeup_duration_seconds",
            "How long a database that was away was waited for",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._waits = Histogram(
            "database_connection_wait_seconds",
            "How long a request waited for a connection: in the queue, or for it to be opened",
            ("stage",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._retries = Counter(
            "database_retries",
            "Attempts that failed and were made again",
            ("reason",),
            registry=self._registry,
        )
        self._pool_size = self._gauge("size", "Connections that may be open at most")
        self._pool_used = self._gauge("checked_out", "Connections in use, or being opened")
        self._pool_waiting = self._gauge("waiting", "Requests that wait for a connection")
        self._read_pool: Callable[[], PoolUse] | None = None
        # `labels()` takes a lock and a look-up: once for each series is enough
        self._series: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}
        self._query_series: dict[str, Histogram] = {}

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(
            f"database_pool_{name}",
            meaning,
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    def count_request(
        self, method: str, route: str, status: int, seconds: float, trips: int
    ) -> None:
        """Count a request that was answered.

        Args:
            method: one that HTTP does not define counts as `OTHER`.
            route: its template, such as `/posts/{id}`.
            status: what it was answered with.
            seconds: until the response began.
            trips: how often it waited for the database.
        """
        series = self._series.get((method, route, status))
        if series is None:
            known = method if method in _METHODS else "OTHER"
            durations = self._requests.labels(known, route, str(status))
            series = durations, self._trips.labels(known, route)
            if known == method:  # a client's own words are not kept
                self._series[method, route, status] = series
        series[0].observe(seconds)
        series[1].inc(trips)

    def count_query(self, query: StatementEvent) -> None:
        """Count a statement."""
        durations = self._query_series.get(query.route)
        if durations is None:
            durations = self._query_series[query.route] = self._queries.labels(query.route)
        durations.observe(query.seconds)

    def count_slow_query(self, query: StatementEvent) -> None:
        """Count a statement as slow."""
        self._slow_queries.labels(query.route).inc()

    def count_wakeup(self, seconds: float) -> None:
        """Count a database that was away, and how long it was waited for."""
        self._wakeups.observe(seconds)

    def count_wait(self, stage: Stage, seconds: float) -> None:
        """Count a request that had to wait for a connection."""
        self._waits.labels(stage).observe(seconds)

    def count_retry(self, reason: str) -> None:
        """Count an attempt that failed and is made again, by the kind of its fault."""
        self._retries.labels(reason).inc()

    async def watch_pool(self, read: Callable[[], PoolUse]) -> None:
        """Take a look at the pool every second, until cancelled; the database is not asked."""
        self._read_pool = read
        try:
            while True:
                self._sample_pool()
                await asyncio.sleep(_SAMPLING)
        finally:
            self._read_pool = None

    def _sample_pool(self) -> None:
        if self._read_pool is not None:
            use = self._read_pool()
            self._pool_size.set(use.size)
            self._pool_used.set(use.checked_out)
            self._pool_waiting.set(use.waiting)

    def render(self) -> bytes:
        """Write everything as Prometheus text, version 0.0.4.

        What the app keeps itself in `prometheus_client`'s default registry is in it. With
        several workers it reads files: call it in a thread.
        """
        self._sample_pool()
        folder = os.environ.get(_SHARED)
        if folder:
            shared = CollectorRegistry()
            MultiProcessCollector(shared, folder)  # type: ignore[no-untyped-call]  # it has no types
            return generate_latest(shared)
        return generate_latest(self._registry) + generate_latest(REGISTRY)


@contextmanager
def share_metrics() -> Iterator[None]:
    """Let the processes that are started in the block add up their metrics.

    They find the folder in PROMETHEUS_MULTIPROC_DIR, one of the block's own that goes with it: in
    the folder that the environment names there, else where temporary files are.

    Raises:
        ConfigurationError: no folder can be made.
    """
    given = os.environ.get(_SHARED)
    try:
        own = TemporaryDirectory(prefix="neonkit-metrics-", dir=given or None)
    except OSError as error:
        raise ConfigurationError(_NO_FOLDER.format(error)) from None
    with own as folder:
        os.environ[_SHARED] = folder
        try:
            yield
        finally:
            del os.environ[_SHARED]
            if given is not None:
                os.environ[_SHARED] = given


def forget_worker(pid: int) -> None:
    """Take the pool of a process that has ended out of the sums; what it counted stays."""
    folder = os.environ.get(_SHARED)
    if folder:
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # it has no types
