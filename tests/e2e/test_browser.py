"""The API page in a real browser that reaches nothing but the app."""

import subprocess
from pathlib import Path

from support.needed import need
from support.outside import serving


def test_the_api_page_opens_without_a_network(tmp_path: Path) -> None:
    """Chromium, allowed to reach 127.0.0.1 alone, renders every operation, and reports no error."""
    need("chromium", "apt-get install chromium")
    with serving(tmp_path, "neonkit", "dev", "neonkit_starter.app:app") as served:
        served.wait_for("/health/ready", 200, 90)
        done = subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--enable-logging=stderr", "--v=0", "--virtual-time-budget=15000", "--dump-dom",
                f"{served.url}/docs",
            ],
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
    assert "/api/v1/users" in done.stdout
    assert 'class="swagger-ui"' in done.stdout
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in console if "Refused" in line or "error" in line.lower()] == []
