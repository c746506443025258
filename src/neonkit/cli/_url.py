"""`neonkit url`: the address of the embedded PostgreSQL, for `psql` and for scripts."""

import typer

from neonkit.settings import embedded_url

_NOT_RUNNING = (
    "no embedded PostgreSQL runs in this folder: start `neonkit dev` here, without a database URL"
)


def run() -> int:
    """Print it on standard output, the only place where its password is ever shown.

    Returns:
        The exit code: 1 where the server does not run.
    """
    url = embedded_url()
    if url is None:
        typer.echo(f"neonkit: {_NOT_RUNNING}", err=True)
        return 1
    typer.echo(url)
    return 0
