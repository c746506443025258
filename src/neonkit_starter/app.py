"""The starter service, built with what every user of neonkit may use."""

from functools import partial

from fastapi import Depends, FastAPI

import neonkit
from neonkit.web import add_boot_step, strict_parameters
from neonkit_starter.accounts import errors as money
from neonkit_starter.accounts.routes import router as accounts
from neonkit_starter.auth.routes import router as auth
from neonkit_starter.posts.routes import router as posts
from neonkit_starter.profiles.routes import router as profiles
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.first_admin import create_first_admin, first_admin_of
from neonkit_starter.users.queries import principal_of
from neonkit_starter.users.routes import router as users

_PROBLEMS = (
    (WeakPasswordError, 422, "weak-password"),
    (money.InsufficientFundsError, 400, "insufficient-funds"),
    (money.AccountClosedError, 409, "account-closed"),
    (money.BalanceLimitError, 409, "balance-limit"),
    (money.BalanceNotZeroError, 409, "balance-not-zero"),
    (money.CurrencyMismatchError, 422, "currency-mismatch"),
    (money.SameAccountError, 422, "same-account"),
)


def create_app(settings: StarterSettings | None = None) -> FastAPI:
    """Make the service; the environment decides where no settings are given."""
    settings = settings or StarterSettings()
    app = FastAPI(title=settings.app_name, redirect_slashes=False)
    neonkit.install(app, settings, principal=principal_of)
    for kind, status, slug in _PROBLEMS:
        neonkit.add_problem(app, kind, status, slug)
    admin = first_admin_of(settings)
    if admin is not None:
        add_boot_step(app, partial(create_first_admin, admin=admin))
    app.add_api_route("/", read_root, include_in_schema=False)
    for router in (
        auth,
        users,
        profiles,
        posts,
        accounts,
    ):  # one level: FastAPI matches anew at each
        app.include_router(
            router, prefix=settings.api_v1_prefix, dependencies=[Depends(strict_parameters)]
        )
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
