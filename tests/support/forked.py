"""Commands of `neonkit`, each in a process forked from one that has imported everything already."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass
class Commands:
    """Runs `neonkit` commands in a folder.

    Attributes:
        process: which forks.
    """

    process: "subprocess.Popen[str]"

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run one; its exit code, and all that it printed."""
        told, answers = self.process.stdin, self.process.stdout
        assert told is not None
        assert answers is not None
        told.write(json.dumps(arguments) + "\n")
        told.flush()
        code, output = json.loads(answers.readline())
        return code, output


@contextmanager
def commands(folder: Path, environment: Mapping[str, str]) -> Iterator[Commands]:
    """Lend them for the block."""
    with subprocess.Popen(
        [sys.executable, __file__],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Commands(process)
        process.communicate()


def _serve() -> None:
    import sqlmodel

    from neonkit.cli import _alembic, _makemigrations, _migrations, _versions

    assert all([sqlmodel, _alembic, _makemigrations, _migrations, _versions])
    for line in sys.stdin:
        with Path("output.txt").open("w+") as output:
            child = os.fork()
            if child == 0:
                _be_command(json.loads(line), output)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            answer = os.waitstatus_to_exitcode(status), output.read()
        print(json.dumps(answer), flush=True)  # noqa: T201  # it is how it answers


def _be_command(arguments: list[str], output: IO[str]) -> None:
    from neonkit.cli import main

    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.argv = ["neonkit", *arguments]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
