"""Let schemathesis loose on the starter, from outside: `make fuzz`, or `make fuzz FUZZ=--short`.

Serves the starter with an embedded PostgreSQL, fills it, and runs every check in every phase: as
nobody, as a user and as an administrator, with three seeds. Prints how often each operation has
answered how, and which business refusals were met. Exit code 1 where a check fails, where
schemathesis warns, where somebody is let in who may not, or where an operation has not succeeded
50 times (`--short`: once).
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

from neonkit.local import LocalServer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.production import serving  # noqa: E402  # found by the line above

PASSWORD = "weavers mend the looms at dawn"  # noqa: S105  # of a database that ends with the run
FOR_ADMINS = ("list_users", "create_deposit")
WARNINGS = ("method_not_allowed", "missing_deserializer", "rate_limited")
"""Of an operation that refuses whoever calls; the others also warn where little succeeds."""

VARIABLES = {
    "ENVIRONMENT": "development",
    "RATE_LIMIT_ENABLED": "false",
    "ACCESS_TOKEN_TTL": "86400",
    "FIRST_ADMIN_USERNAME": "first-admin",
    "FIRST_ADMIN_EMAIL": "first@example.com",
    "FIRST_ADMIN_PASSWORD": PASSWORD,
}
FEW = ("--phases", "examples,fuzzing,stateful")

out = Console(width=110)


@dataclass
class Totals:
    """What all runs have seen.

    Attributes:
        cases: how many requests schemathesis generated.
        failed: the runs that failed or warned.
        answers: by operation and hundred of the status.
        expected: business refusals, by operation and slug.
        let_in: operations that succeeded for somebody who may not.
    """

    cases: int = 0
    failed: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    let_in: set[str] = field(default_factory=set)


class Service:
    """The served starter, as its clients see it.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx2.AsyncClient(base_url=url + "/api/v1", timeout=30)

    async def post(self, path: str, token: str = "", **options: Any) -> Any:
        """Send something, and give the answer."""
        signed = {"Authorization": f"Bearer {token}"} if token else {}
        headers = {**signed, **options.pop("headers", {})}
        answer = await self.client.post(path, headers=headers, **options)
        answer.raise_for_status()
        return answer.json()

    async def register(self, name: str) -> tuple[int, str]:
        """Make a user; their id and token."""
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        made = await self.post("/users", json=body)
        return made["id"], await self.sign_in(name)

    async def sign_in(self, name: str) -> str:
        """Get a token."""
        token = await self.post("/auth/token", data={"username": name, "password": PASSWORD})
        return str(token["access_token"])

    async def operations(self) -> dict[str, bool]:
        """The ids of all operations, and whether each wants somebody to sign in."""
        schema = (await self.client.get(self.url + "/openapi.json")).json()
        return {
            each["operationId"]: bool(each.get("security"))
            for path in schema["paths"].values()
            for each in path.values()
        }


async def _people(service: Service, seeds: list[int]) -> dict[str, tuple[int, str]]:
    """Two callers for each seed; the administrators are made before anybody is let loose."""
    root = await service.sign_in("first-admin")
    people = {"ada": await service.register("ada")}
    for seed in seeds:
        people[f"user {seed}"] = await service.register(f"user-{seed}")
        made = await service.register(f"admin-{seed}")
        body, headers = {"role": "admin"}, {"Authorization": f"Bearer {root}"}
        await service.client.patch(f"/users/{made[0]}", json=body, headers=headers)
        people[f"admin {seed}"] = made[0], await service.sign_in(f"admin-{seed}")
    for name, (_, token) in people.items():
        people[name] = (people[name][0], token)
        await service.post("/posts", token, json={"title": "On looms", "content": "They weave."})
    return people


async def _world(
    service: Service, people: dict[str, tuple[int, str]], who: str, seed: int
) -> dict[str, Any]:
    """What is there for one run, and whom it belongs to."""
    ada, token = people["ada"]
    me, mine = people.get(f"{who} {seed}", (None, ""))
    owner = mine or token
    accounts = [
        (await service.post("/accounts", owner, json={"currency": "EUR"}))["id"] for _ in range(2)
    ]
    root, paid = await service.sign_in("first-admin"), {"amount": "900000.00"}
    key = {"Idempotency-Key": token_hex(8)}
    await service.post(f"/accounts/{accounts[0]}/deposits", root, json=paid, headers=key)
    body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": "1.00"}
    transfer = await service.post("/transfers", owner, json=body, headers=key)
    post = await service.post("/posts", owner, json={"title": "On looms", "content": "They weave."})
    return {
        "password": PASSWORD,
        "ada": ada,
        "me": me,
        "token": mine,
        "accounts": accounts,
        "account": accounts[0],
        "ids": ",".join(map(str, accounts)),
        "transfer": transfer["id"],
        "key": key["Idempotency-Key"],
        "post": post["id"],
    }


async def _run(
    service: Service, world: dict[str, Any], who: str, arguments: list[str], totals: Totals
) -> None:
    """Run schemathesis once."""
    operations = await service.operations()
    refused = {name for name, is_signed in operations.items() if who == "nobody" and is_signed}
    refused |= set(FOR_ADMINS) if who == "user" else set()
    with tempfile.TemporaryDirectory() as folder:
        config, counts = Path(folder) / "schemathesis.toml", Path(folder) / "counts"
        text = (HERE / "schemathesis.toml").read_text()
        if refused:
            shown = json.dumps(WARNINGS)
            text += f"\n[[operations]]\ninclude-operation-id = {json.dumps(sorted(refused))}\n"
            text += f"warnings = {{ display = {shown}, fail-on = {shown} }}\n"
        config.write_text(text)
        report = Path(folder) / "report.json"
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(HERE.parent / ".venv-fuzz" / "bin" / "schemathesis", "--config-file", config),
            *("run", service.url + "/openapi.json", "--checks", "all", "--no-color"),
            *arguments,
            *("--report-json-path", report),
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE),
                "FUZZ_URL": service.url,
                "FUZZ_WORLD": json.dumps(world),
                "FUZZ_WHO": who,
                "FUZZ_COUNTS": str(counts),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        counted = json.loads(counts.read_text()) if counts.exists() else {}
    answers: Counter[str] = Counter(counted.get("answers", {}))
    generated = re.search(r"^ +([0-9,]+) generated", said, re.MULTILINE)
    number = int(generated[1].replace(",", "")) if generated else 0
    name = f"as {who}, seed {arguments[-1]}"
    out.print(f"{name}: {number} cases in {time.monotonic() - started:.0f} s")
    totals.cases += number
    totals.answers += answers
    totals.expected += Counter(counted.get("expected", {}))
    totals.let_in |= {f"{each} as {who}" for each in refused if answers[f"{each} 2xx"]}
    if process.returncode:
        totals.failed.append(name)
        out.print(said, markup=False, highlight=False)


def _tell(totals: Totals, operations: dict[str, bool], fewest: int) -> int:
    table = Table("operation", "2xx", "3xx", "4xx", "5xx", title="answers")
    for name in operations:
        row = [totals.answers[f"{name} {hundred}xx"] for hundred in (2, 3, 4, 5)]
        table.add_row(name, *map(str, row))
    out.print(table)
    refusals = Table("operation and refusal", "times", title="business refusals of valid requests")
    for name, times in sorted(totals.expected.items()):
        refusals.add_row(name, str(times))
    out.print(refusals)
    rare = [name for name in operations if totals.answers[f"{name} 2xx"] < fewest]
    out.print(f"{totals.cases} cases; failed or warned: {totals.failed or 'none'}")
    out.print(f"let in without the right: {sorted(totals.let_in) or 'nobody'}")
    out.print(f"succeeded less than {fewest} times: {rare or 'none'}")
    return int(bool(totals.failed or totals.let_in or rare))


async def main() -> int:
    """Run all, and tell."""
    asked = argparse.ArgumentParser(
        description="Fuzz the starter from outside.",
        epilog="What else is given goes to schemathesis.",
    )
    asked.add_argument(
        "--short", action="store_true", help="one seed, a few cases, phase `coverage` as admin only"
    )
    asked.add_argument("--cases", type=int, help="the most of an operation and phase")
    asked.add_argument("--seeds", type=int, nargs="+", help="by default 1 2 3")
    asked.add_argument("--who", nargs="+", default=["nobody", "user", "admin"])
    given, others = asked.parse_known_args()
    seeds = given.seeds or ([1] if given.short else [1, 2, 3])
    arguments = ["--max-examples", str(given.cases or (3 if given.short else 150)), *others]
    totals = Totals()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with (
            await LocalServer.start(place / "postgres", is_durable=False) as server,
            serving(place, server.url, **VARIABLES) as process,
        ):
            service = Service(process.url)
            people = await _people(service, seeds)
            for seed in seeds:
                for who in given.who:
                    world = await _world(service, people, who, seed)
                    phases = FEW if given.short and who != "admin" else ()
                    chosen = [*arguments, *phases, "--seed", str(seed)]
                    await _run(service, world, who, chosen, totals)
            operations = await service.operations()
            log = (place / "log").read_text()
    if "Traceback" in log:
        out.print(log[log.index("Traceback") - 2000 :][:6000], markup=False)
    return _tell(totals, operations, 1 if given.short else 50)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
