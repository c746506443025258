"""How many cores this process may use: what its container has, not what the machine has."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """Count them: at least one, and no more than the scheduler and the container's quota allow.

    Args:
        cgroups: where Linux tells of quotas, in its second version or its first.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(cgroups)
    return max(1, there or 1 if quota is None else min(there or 1, int(quota)))


def _quota(cgroups: Path) -> float | None:
    """Cores' worth of time that the container may take; `None` where nothing bounds it."""
    try:
        if (whole := cgroups / "cpu.max").exists():
            most, period = whole.read_text().split()
        else:
            most = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text()
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError):  # no such file, or the word `max`
        return None
