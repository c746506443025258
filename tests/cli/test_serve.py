"""`neonkit serve`: ready once, drained when told to end, refused early where it is set up wrong."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Launch, Service
    from tests.cli.conftest import run as run_command


def _eventually(service: "Service", *, is_ready: bool) -> None:
    deadline = time.monotonic() + 20
    while service.is_ready() != is_ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
