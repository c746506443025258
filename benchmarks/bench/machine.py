"""What the figures were measured on; nothing that names a machine or a folder."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("fastapi", "sqlalchemy", "sqlmodel", "asyncpg", "pydantic", "uvicorn", "uvloop")


def facts(postgres: str) -> dict[str, str]:
    """Processor, system and versions, in the order in which they are shown."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{_memory() / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Packages": packages,
        "PostgreSQL": f"{postgres}, on the same machine, without fsync",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
