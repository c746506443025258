"""One run: count, then measure, then measure again with a delay; the roads take turns."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from benchmarks.bench import machine
from benchmarks.bench.database import postgres, version_of
from benchmarks.bench.load import Plan, ask_in_turn, measure
from benchmarks.bench.operations import OPERATIONS, Call, Operation, Road, Rows, encode
from benchmarks.bench.results import Results, Sample
from benchmarks.bench.servers import ADMIN, ROOT, Cores, Server, Servers, running
from neonkit.dsn import Dsn
from neonkit.local import WireProxy

API = "/api/v1"
FAR_MS = 10
_WARM, _COUNTED = 30, 20  # requests, one after the other


@dataclass(frozen=True)
class Scope:
    """How much a run does.

    Attributes:
        operations: the rows.
        plan: of each cell.
        rounds: how often each cell is measured.
        delays: in milliseconds, and for each a measurement; without any, one on the wire that
            counts, to see that it works.
        rows: of the database.
    """

    operations: tuple[Operation, ...] = OPERATIONS
    plan: Plan = field(default_factory=Plan)
    rounds: int = 3
    delays: tuple[int, ...] = (0, FAR_MS)
    rows: Rows = field(default_factory=Rows)


class Bench:
    """A run's state: where the requests of each road go, and the number of the next one.

    Args:
        scope: how much to do.
        results: where what is found is put.
        say: gets a line for each step.
    """

    def __init__(self, scope: Scope, results: Results, say: Callable[[str], None]) -> None:
        self._scope = scope
        self._results = results
        self._say = say
        self._numbers = itertools.count(1)
        self._signature = ""

    async def count(self, url: str, cores: Cores) -> None:
        """Count round trips on the wire."""
        async with WireProxy.start(Dsn.parse(url)) as wire:
            with running(wire.url, cores.server) as servers:
                self._signature = _sign_in(servers["starter"])
                await _open_accounts(servers["starter"], self._signature, self._scope.rows.accounts)
                for operation in self._scope.operations:
                    counts = self._results.trips.setdefault(operation.name, {})
                    for road in operation.roads:
                        counts[road] = await self._trips(wire, servers, operation, road)
                    self._say(f"round trips, {operation.name}: {counts}")
                if not self._scope.delays:
                    await self._take_rounds(servers, 0)

    async def _trips(
        self, wire: WireProxy, servers: Servers, operation: Operation, road: Road
    ) -> float:
        port = servers[operation.server_of(road)].port
        await ask_in_turn(port, _WARM, lambda: self._request(operation, road))
        with wire.counting() as trips:
            await ask_in_turn(port, _COUNTED, lambda: self._request(operation, road))
        return trips.count / _COUNTED

    async def measure(self, url: str, cores: Cores, delay_ms: int) -> None:
        """Measure every cell, each in every round, the roads side by side."""
        with (
            _far(url, delay_ms) if delay_ms else nullcontext(url) as there,
            running(there, cores.server) as servers,
        ):
            await self._take_rounds(servers, delay_ms)

    async def _take_rounds(self, servers: Servers, delay_ms: int) -> None:
        rounds = range(1, self._scope.rounds + 1)
        for number, operation in itertools.product(rounds, self._scope.operations):
            for road in operation.roads:
                await self._measure(servers, operation, (road, delay_ms, number))

    async def _measure(
        self, servers: Servers, operation: Operation, cell: tuple[Road, int, int]
    ) -> None:
        road, delay_ms, number = cell
        server = servers[operation.server_of(road)]
        measured = await measure(
            server.port, self._scope.plan, lambda: self._request(operation, road), server.usage
        )
        sample = Sample.of((operation.name, *cell), measured)
        self._results.samples.append(sample)
        self._say(
            f"round {number}, {delay_ms} ms, {operation.name}, {road}: {sample.rate:,.0f}/s, "
            f"{sample.cpu_us:,.0f} us, p50 {sample.p50_ms:.1f} ms, p99 {sample.p99_ms:.1f} ms"
        )

    def _request(self, operation: Operation, road: Road) -> bytes:
        number = next(self._numbers)
        call = operation.make(road, number, self._scope.rows)
        if operation.server_of(road) != "starter":
            return encode(call, "", "")
        is_keyed = call.path == "/transfers"
        return encode(call, API, self._signature, f"bench-{number:012}" if is_keyed else "")


async def run(scope: Scope, folder: Path, say: Callable[[str], None]) -> Results:
    """Do it all; the folder is PostgreSQL's."""
    cores = Cores.split()
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.rest)  # PostgreSQL and the relay inherit it
    try:
        async with postgres(folder, scope.rows) as url:
            results = Results(_command(), machine.facts(version_of(url)))
            bench = Bench(scope, results, say)
            await bench.count(url, cores)
            for delay_ms in scope.delays:
                await bench.measure(url, cores, delay_ms)
    finally:
        os.sched_setaffinity(0, usual)
    return results


def _command() -> str:
    return " ".join(["python -m benchmarks.bench", *sys.argv[1:]])


@contextmanager
def _far(url: str, delay_ms: int) -> Iterator[str]:
    """Lead to the database over a process that makes each round trip longer."""
    dsn = Dsn.parse(url)
    command = [sys.executable, "-m", "benchmarks.bench.relay", str(dsn.port), str(delay_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as relay:  # noqa: S603  # ours
        assert relay.stdout is not None, "a pipe was asked for"  # noqa: S101
        try:
            yield dsn.replace(port=int(relay.stdout.readline())).for_libpq()
        finally:
            relay.terminate()


def _sign_in(server: Server) -> str:
    names = {"username": "FIRST_ADMIN_USERNAME", "password": "FIRST_ADMIN_PASSWORD"}
    form = urlencode({field: ADMIN[name] for field, name in names.items()}).encode()
    request = Request(f"http://127.0.0.1:{server.port}{API}/auth/token", form)
    with urlopen(request) as answer:  # noqa: S310  # of a server of ours
        return f"Authorization: Bearer {json.load(answer)['access_token']}"


async def _open_accounts(server: Server, signature: str, accounts: int) -> None:
    """Open the starter's accounts, numbered from 1, and pay into each."""
    opened = encode(Call("POST", "/accounts", {}), API, signature)
    await ask_in_turn(server.port, accounts, lambda: opened)
    ids = itertools.count(1)

    def deposit() -> bytes:
        number = next(ids)
        call = Call("POST", f"/accounts/{number}/deposits", {"amount": "1000000.00"})
        return encode(call, API, signature, f"bench-deposit-{number}")

    await ask_in_turn(server.port, accounts, deposit)
