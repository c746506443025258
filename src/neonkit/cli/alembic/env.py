"""What Alembic's own command line runs, where `script_location` is `neonkit.cli:alembic`."""

from neonkit.cli._alembic import run

run()
