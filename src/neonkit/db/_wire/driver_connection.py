"""A driver's connection, as far as all drivers have it."""

from typing import Protocol


class DriverConnection(Protocol):
    """A driver's connection, as far as all drivers have it."""

    async def send(self, command: str) -> object:
        """Send a command that has no parameters, and wait for its end: one round trip."""

    def is_closed(self) -> bool:
        """True if it is closed, by either side; known without asking the server."""
        ...

    def terminate(self) -> None:
        """Close it at once, without a word to the server."""

    async def close(self) -> None:
        """Close it."""
