"""The starter service, built with what every user of neonkit may use."""

from fastapi import APIRouter, Depends, FastAPI

import neonkit
from neonkit import Settings
from neonkit.web import strict_query
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.routes import router as users


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the service; the environment decides where no settings are given."""
    settings = settings or Settings()
    app = FastAPI(title=settings.app_name)
    neonkit.install(app, settings)
    neonkit.add_problem(app, WeakPasswordError, 422, "weak-password")
    app.add_api_route("/", read_root, include_in_schema=False)
    api = APIRouter(prefix=settings.api_v1_prefix, dependencies=[Depends(strict_query)])
    api.include_router(users)
    app.include_router(api)
    return app


async def read_root() -> dict[str, str]:
    """Say hello."""
    return {"message": "FastAPI with Neon and SQLModel"}


def __getattr__(name: str) -> FastAPI:
    """Make `app` when a server asks for it, so that importing this module does nothing else."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = create_app()
    return app
