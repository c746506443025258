"""`/health/live`, `/health/ready` and `/health/startup`: truthful, bounded, saying nothing more."""

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
    """The parts that readiness depends on."""

    database: Literal["ok", "failed"]


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


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Tell if traffic may come: the database can be used, and no shutdown has begun."""
    readiness = Runtime.of(request).serving.readiness
    is_usable = readiness is not None and await readiness.is_ready()
    is_ready = is_usable and not draining.has_begun
    response.status_code = 200 if is_ready else 503
    return Ready(
        status="ready" if is_ready else "not_ready",
        checks=Checks(database="ok" if is_usable else "failed"),
    )


@router.get("/startup", responses={503: {"model": Started}})
async def startup(request: Request, response: Response) -> Started:
    """Tell if the first connection was made and the schema is in place."""
    has_started = Runtime.of(request).serving.has_started
    response.status_code = 200 if has_started else 503
    return Started(status="started" if has_started else "starting")
