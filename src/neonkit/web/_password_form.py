"""FastAPI's password form (RFC 6749, section 4.3.2): which route takes it."""

from fastapi import FastAPI
from fastapi.security import OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict
from starlette.routing import Match
from starlette.types import Scope

from neonkit._seams.fastapi import RouteContext, dependant_of, routes_of
from neonkit.web._caller_checks import uses

_FORMS = (OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict)


def password_form_path(app: FastAPI) -> str | None:
    """The path of the route that takes it; `None` where there is none."""
    return next((context.path for context in routes_of(app) if _takes(context)), None)


def takes_password_form(scope: Scope) -> bool:
    """Tell if the route of a request takes it."""
    app = scope.get("app")
    for context in routes_of(app) if isinstance(app, FastAPI) else ():
        if context.matches(scope)[0] is Match.FULL:
            return _takes(context)
    return False


def _takes(context: RouteContext) -> bool:
    dependant = dependant_of(context)
    return any(uses(dependant, form) for form in _FORMS)
