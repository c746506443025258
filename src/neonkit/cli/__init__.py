"""The command `neonkit`: run a service, and find out what is wrong with its set-up."""

import logging
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line.

    Exit codes: 0 all is well; 1 something failed; 2 the command line or the configuration is
    wrong, with one line on standard error that says what and the fix.
    """
    from neonkit.cli._commands import commands
    from neonkit.errors import ConfigurationError

    # what goes wrong is told once, by the command; `dev` and `serve` set their log up themselves
    logging.getLogger("neonkit").addHandler(logging.NullHandler())
    try:
        commands(prog_name="neonkit")
    except ConfigurationError as error:
        sys.stderr.write(f"neonkit: {_on_one_line(str(error))}\n")
        sys.exit(2)


def _on_one_line(text: str) -> str:
    """Put the only problem of a list beside its heading; a longer list stays a list."""
    heading, *problems = text.splitlines()
    return f"{heading} {problems[0].strip()}" if len(problems) == 1 else text
