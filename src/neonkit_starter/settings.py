"""The starter's own variables, beside those of neonkit: how an app adds settings."""

import re
from typing import Self

from pydantic import SecretStr, field_validator, model_validator

from neonkit import Settings

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class StarterSettings(Settings):
    """Everything that the starter is told by its environment."""

    api_v1_prefix: str = "/api/v1"
    first_admin_username: str | None = None
    first_admin_email: str | None = None
    first_admin_password: SecretStr | None = None

    @field_validator("api_v1_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _PATH.fullmatch(value):
            raise ValueError("must begin with a / and end without one, as in /api/v1")
        return value

    @model_validator(mode="after")
    def _check_first_admin(self) -> Self:
        admin = (self.first_admin_username, self.first_admin_email, self.first_admin_password)
        if any(admin) and not all(admin):
            raise ValueError("FIRST_ADMIN_USERNAME, _EMAIL and _PASSWORD: set all three, or none")
        return self
