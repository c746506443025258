"""The error messages that people meet, with their cause and their fix."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """The meaning of a message.

    Attributes:
        parts: words of the message, in lower case; any of them is enough.
        cause: why it appears.
        fix: what to do.
    """

    parts: tuple[str, ...]
    cause: str
    fix: str


_EXPLANATIONS = (
    Explanation(
        (
            "connection was closed by the remote end",
            "connection was closed in the middle of operation",
            "terminating connection due to administrator command",
            "server closed the connection unexpectedly",
        ),
        "Neon suspended or restarted the compute while the connection was idle in a pool; the "
        "pool then handed out a dead connection.",
        "Make the engine with neonkit.create_engine: it knows closed connections without a ping "
        "and replaces them. Keep POOL_RECYCLE (240) below the 300 s after which Neon suspends.",
    ),
    Explanation(
        ("ssl connection has been closed unexpectedly", "ssl syscall error", "eof detected"),
        "The other end of a TLS connection went away without a word: a suspended compute behind "
        "the pooler, or a network device that drops idle connections.",
        "Use neonkit.create_engine with the URL as Neon prints it (sslmode=require or verify-full "
        "stays on it), and keep POOL_RECYCLE below the device's idle limit.",
    ),
    Explanation(
        (
            "no more connections allowed",
            "too many clients already",
            "remaining connection slots are reserved",
            "too many connections",
        ),
        "All sessions that the server or its pooler admits are taken: "
        "(POOL_SIZE + MAX_OVERFLOW + 1) x WORKERS x processes is more than it has.",
        "Send traffic through Neon's pooler (NEON_POOLED_DATABASE_URL; it is derived from the "
        "direct URL by itself), lower POOL_SIZE and MAX_OVERFLOW, and close every session: take "
        "SessionDep, or `async with database.session()`. `neonkit doctor` does the sum.",
    ),
    Explanation(
        ("unexpected keyword argument 'sslmode'", "unexpected keyword argument 'channel_binding'"),
        "A URL for libpq was handed to asyncpg, which takes these as other arguments.",
        "Hand the URL to neonkit.create_engine as it is.",
    ),
    Explanation(
        ("unsupported startup parameter",),
        "A transaction pooler refuses settings that are sent when connecting.",
        "Leave server_settings and options=-c out of the pooled URL; neonkit sets its timeouts "
        "with each transaction instead.",
    ),
    Explanation(
        ("endpoint id is not specified", "inconsistent project name inferred from sni"),
        "Neon cannot tell which endpoint is meant: no host name reached it, or options=endpoint= "
        "names another one than the host.",
        "Connect by the host name of the connection string, and drop options=endpoint= from it.",
    ),
    Explanation(
        ("prepared statement", "cached plan must not change result type"),
        "Prepared statements do not survive: a pooler that does not track them, or a table that "
        "changed under them.",
        "Leave POOLER_TRACKS_STATEMENTS at auto, and restart after a migration that changes a "
        "column's type.",
    ),
)


def explain(message: str) -> Explanation | None:
    """Look a message up by its words; `None` where it is not known."""
    said = message.casefold()
    return next((known for known in _EXPLANATIONS if any(p in said for p in known.parts)), None)
