"""The pages that a result becomes: ratios side by side, each beside its bound, then the figures."""

import re
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.bench.operations import OPERATIONS, ROADS, Operation, Road, Targets
from benchmarks.bench.results import Figure, Results, Sample
from benchmarks.bench.run import FAR_MS
from benchmarks.bench.servers import ROOT

README = ROOT / "README.md"

_NAMES: dict[Road, str] = {
    "source": "Neon's guide",
    "raw": "asyncpg, SQL by hand",
    "plain": "neonkit, plain sessions",
    "starter": "neonkit, starter",
}
_BEGIN, _END = "<!-- measured: make bench -->", "<!-- end -->"
_NOTHING, _X = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def _rate(sample: Sample) -> float:
    return sample.rate


def _cpu(sample: Sample) -> float:
    return sample.cpu_us


def _p50(sample: Sample) -> float:
    return sample.p50_ms


def _p99(sample: Sample) -> float:
    return sample.p99_ms


def page(results: Results) -> str:
    """The whole of `bench.md`."""
    parts = (
        "# What a request costs",
        f"Made by `{results.command}`; every sample is in [bench.json](bench.json).",
        _table(("", "machine"), results.machine.items()),
        "One worker process on one core; the load, PostgreSQL and the delay on the other cores. 16 "
        "connections that ask again as soon as they are answered. Each figure is the median of the "
        "rounds; each ratio is the median of the rounds' own ratios, since the apps take turns "
        "within a round. The starter's figures have everything on that is on in production, and "
        "authentication where the route asks for it; the others have none. All log each request.",
        _noise(results),
        "## Round trips per request",
        trips_table(results),
        "## Against the bounds",
        "Ratios to the way of Neon's guide in the same run. A bold figure misses its bound.",
        _bounds(results),
        *(
            _figures(results, delay)
            for delay in sorted({each.delay_ms for each in results.samples})
        ),
    )
    return "\n\n".join(parts) + "\n"


def _noise(results: Results) -> str:
    shares = [sample.waited for sample in results.samples]
    return (
        "While it was measured, a server waited for its core, which something else had, "
        f"{statistics.median(shares):.1%} of the time in the median sample and {max(shares):.1%} "
        "in the worst. On a quiet machine that is next to nothing."
    )


def in_readme(results: Results, text: str) -> str:
    """README's text with its table made anew."""
    made = f"{_BEGIN}\n{readme_table(results)}\n{_END}"
    pattern = f"{re.escape(_BEGIN)}.*?{re.escape(_END)}"
    return re.sub(pattern, lambda _: made, text, flags=re.DOTALL)


def readme_table(results: Results) -> str:
    """What README shows: counts, and how much faster than the way of Neon's guide."""
    head = (
        "",
        "round trips, Neon's guide",
        "SQL by hand",
        "**neonkit**",
        f"requests/s, {FAR_MS} ms away",
        "p50, Neon's guide",
        "p50, **neonkit**",
        "CPU per request",
    )
    return _table(head, [_readme_row(results, op) for op in _measured(results)])


def _readme_row(results: Results, operation: Operation) -> tuple[str, ...]:
    name = operation.name
    return (
        name,
        _trips(results, name, "source"),
        _trips(results, name, "raw"),
        f"**{_trips(results, name, 'starter')}**",
        _times(results.ratio(name, ("starter", "source"), FAR_MS, _rate)),
        _number(results.middle(name, "source", FAR_MS, _p50), " ms"),
        f"**{_number(results.middle(name, 'starter', FAR_MS, _p50), ' ms')}**",
        _times(results.ratio(name, ("starter", "source"), 0, _cpu)),
    )


def trips_table(results: Results) -> str:
    """Round trips, by operation and road."""
    rows = [
        (op.name, *(_trips(results, op.name, road) for road in ROADS)) for op in _measured(results)
    ]
    return _table(("", *_NAMES.values()), rows)


def _bounds(results: Results) -> str:
    head = (
        "",
        f"requests/s, {FAR_MS} ms",
        "requests/s, direct",
        "CPU, starter",
        "CPU, plain sessions",
        "CPU, SQL by hand",
        f"p50, {FAR_MS} ms",
    )
    rows = [
        (op.name, *_checked(results, op.name, op.targets))
        for op in _measured(results)
        if op.targets is not None
    ]
    return _table(head, rows)


def _checked(results: Results, name: str, targets: Targets) -> tuple[str, ...]:
    near: Road = "source" if targets.near is not None else "raw"

    def ratio(road: Road, delay_ms: int, figure: Figure, over: Road = "source") -> float | None:
        return results.ratio(name, (road, over), delay_ms, figure)

    return (
        _at_least(ratio("starter", FAR_MS, _rate), targets.far),
        _at_least(ratio("starter", 0, _rate, near), targets.near or 1)
        + ("" if targets.near is not None else f" {_X} SQL by hand"),
        _at_most(ratio("starter", 0, _cpu), targets.cpu),
        _at_most(ratio("plain", 0, _cpu), targets.cpu_plain),
        _times(ratio("raw", 0, _cpu)),
        _at_most(results.middle(name, "starter", FAR_MS, _p50), targets.median_ms, " ms"),
    )


def _figures(results: Results, delay_ms: int) -> str:
    title = f"## With {delay_ms} ms of round-trip time" if delay_ms else "## With no added latency"
    head = ("", "", "requests/s", "CPU µs", "p50 ms", "p99 ms")
    rows = [
        (op.name, _NAMES[road], *_absolute(results, (op.name, road, delay_ms)))
        for op in _measured(results)
        for road in op.roads
    ]
    return f"{title}\n\n{_table(head, rows)}"


def _absolute(results: Results, cell: tuple[str, Road, int]) -> Iterable[str]:
    return (_number(results.middle(*cell, figure)) for figure in (_rate, _cpu, _p50, _p99))


def _measured(results: Results) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.name in results.trips]


def _trips(results: Results, name: str, road: Road) -> str:
    return _number(results.trips[name].get(road))


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.1f}{unit}"  # noqa: PLR2004  # three digits are enough


def _times(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2g} {_X}" if value < 1 else f"{value:.1f} {_X}"


def _at_least(value: float | None, bound: float) -> str:
    return _judged(value, bound, f" {_X}", "≥", is_met=value is not None and value >= bound)


def _at_most(value: float | None, bound: float | None, unit: str = f" {_X}") -> str:
    if bound is None:
        return _NOTHING
    return _judged(value, bound, unit, "≤", is_met=value is not None and value <= bound)


def _judged(value: float | None, bound: float, unit: str, sign: str, *, is_met: bool) -> str:
    if value is None:
        return _NOTHING
    shown = f"{value:.3g}{unit}"
    return f"{shown if is_met else f'**{shown}**'} ({sign} {bound:g}, {_verdict(is_met=is_met)})"


def _verdict(*, is_met: bool) -> str:
    return "met" if is_met else "missed"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
