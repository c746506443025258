"""`Settings`, and a subclass with settings of the app's own."""

from typing import assert_type

from fastapi import FastAPI
from pydantic import Field, SecretStr

import neonkit


class ShopSettings(neonkit.Settings):
    """The toolkit's, and what a shop needs besides."""

    currency: str = "EUR"
    most_items: int = Field(default=100, ge=1)
    payment_key: SecretStr | None = None


settings = ShopSettings()
assert_type(settings.currency, str)
assert_type(settings.most_items, int)
assert_type(settings.payment_key, SecretStr | None)
assert_type(settings.pool_size, int)
assert_type(settings.is_production, bool)
assert_type(neonkit.Settings(pool_size=3).pool_size, int)
neonkit.install(FastAPI(), settings)
settings.pool_size = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # read once, at the door
