"""What a run has found: counts, and one sample per cell and round."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.bench.load import Measured
from benchmarks.bench.operations import Road

FILE = "bench.json"


@dataclass(frozen=True)
class Sample:
    """One cell in one round.

    Attributes:
        operation: its name.
        road: who served it.
        delay_ms: by how much each round trip was lengthened.
        round: from 1.
        requests: answered in `seconds`.
        cpu_us: microseconds on a processor per request, the server process alone.
        waited: the share of the time in which something else had its core; 0 on a quiet machine.
        p50_ms: half of the answers took no longer.
        p99_ms: 99 of 100 answers took no longer.
    """

    operation: str
    road: Road
    delay_ms: int
    round: int
    requests: int
    seconds: float
    cpu_us: float
    waited: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, cell: tuple[str, Road, int, int], measured: Measured) -> Self:
        """Sum up what was measured in a cell: operation, road, delay and round."""
        latencies = sorted(measured.latencies)
        count = len(latencies)
        if not count:
            raise RuntimeError(f"no answer in {measured.seconds:.1f} s: {cell}")
        return cls(
            *cell,
            requests=count,
            seconds=round(measured.seconds, 4),
            cpu_us=round(measured.usage.cpu / count * 1e6, 1),
            waited=round(measured.usage.waited / measured.seconds, 4),
            p50_ms=round(latencies[count // 2] * 1000, 3),
            p99_ms=round(latencies[count * 99 // 100] * 1000, 3),
        )

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


Figure = Callable[[Sample], float]


@dataclass
class Results:
    """Everything that a report is made of.

    Attributes:
        command: that made it.
        machine: what it ran on.
        trips: round trips of one request, by operation and road.
        samples: in the order in which they were taken.
    """

    command: str
    machine: dict[str, str]
    trips: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @property
    def delays(self) -> list[int]:
        """The delays that were measured, the least first."""
        return sorted({sample.delay_ms for sample in self.samples})

    def middle(self, operation: str, road: Road, delay_ms: int, figure: Figure) -> float | None:
        """The median of the rounds; `None` where this was not measured."""
        found = self._by_round(operation, road, delay_ms, figure)
        return statistics.median(found.values()) if found else None

    def ratio(
        self, operation: str, roads: tuple[Road, Road], delay_ms: int, figure: Figure
    ) -> float | None:
        """The first road's figure over the second's: the median of the rounds' own ratios."""
        over, under = (self._by_round(operation, road, delay_ms, figure) for road in roads)
        ratios = [over[number] / under[number] for number in over.keys() & under.keys()]
        return statistics.median(ratios) if ratios else None

    def _by_round(
        self, operation: str, road: Road, delay_ms: int, figure: Figure
    ) -> dict[int, float]:
        cell = operation, road, delay_ms
        return {
            sample.round: figure(sample)
            for sample in self.samples
            if (sample.operation, sample.road, sample.delay_ms) == cell
        }

    def save(self, folder: Path) -> None:
        """Write `bench.json`: a line per sample, so that two runs can be compared."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {"command": self.command, "machine": self.machine, "trips": self.trips}
        columns = list(asdict(self.samples[0]))
        lines = [f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items()]
        lines.append(f' "columns": {json.dumps(columns)},\n "samples": [\n')
        rows = [json.dumps(list(asdict(sample).values())) for sample in self.samples]
        lines.append("  " + ",\n  ".join(rows) + "\n ]\n")
        (folder / FILE).write_text("{\n" + "".join(lines) + "}\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        found = json.loads((folder / FILE).read_text())
        columns = found["columns"]
        samples = [Sample(**dict(zip(columns, row, strict=True))) for row in found["samples"]]
        return cls(found["command"], found["machine"], found["trips"], samples)
