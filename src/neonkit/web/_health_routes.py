"""`/health/live`, `/health/ready` and `/health/startup`: truthful, bounded, saying nothing more."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from neonkit.web._drain_switch import draining
from neonkit.web._runtime import Runtime


class Live(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"
    timestamp: datetime


class Checks(BaseModel):
    """The parts that readiness depends on; `migrations` is named until start-up is over."""

    database: Literal["ok", "failed"]
    migrations: Literal["ok", "failed", "unknown"] | None = None


class Ready(BaseModel):
    """Readiness: may traffic come here?"""

    status: Literal["ready", "not_ready"]
    checks: Checks


class Started(BaseModel):
    """Start-up: is it over?"""

    status: Literal["started", "starting"]


router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Live:
    """Tell that the process answers; the database is never touched."""
    return Live(timestamp=datetime.now(UTC))


@router.get("/ready", responses={503: {"model": Ready}}, response_model_exclude_none=True)
async def ready(request: Request, response: Response) -> Ready:
    """Tell if traffic may come: start-up is over, the database usable, no shutdown begun."""
    runtime = Runtime.of(request).serving
    has_started, is_usable = await asyncio.gather(_has_started(runtime), _is_usable(runtime))
    is_ready = has_started and is_usable and not draining.has_begun
    response.status_code = 200 if is_ready else 503
    startup = runtime.startup
    return Ready(
        status="ready" if is_ready else "not_ready",
        checks=Checks(
            database="ok" if is_usable else "failed",
            migrations=None if has_started else startup.migrations if startup else "unknown",
        ),
    )


@router.get("/startup", responses={503: {"model": Started}})
async def startup(request: Request, response: Response) -> Started:
    """Tell if the first connection was made and the tables are what this release needs."""
    has_started = await _has_started(Runtime.of(request).serving)
    response.status_code = 200 if has_started else 503
    return Started(status="started" if has_started else "starting")


async def _has_started(runtime: Runtime) -> bool:
    return runtime.startup is not None and await runtime.startup.look()


async def _is_usable(runtime: Runtime) -> bool:
    return runtime.readiness is not None and await runtime.readiness.is_ready()
