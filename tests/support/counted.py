"""What an app's routes cost on the wire, told as JSON: `python counted.py URL`, beside `app.py`.

A process of its own, since the app declares tables.
"""

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response

from neonkit.dsn import Dsn
from neonkit.local import WireProxy

SOMEBODY = {"email": "a@b.com", "hashed_password": "password"}


async def count(url: str) -> dict[str, int]:
    """Use every route twice, and count what the second time costs."""
    told: dict[str, int] = {}
    async with WireProxy.start(Dsn.parse(url)) as wire:
        os.environ["NEON_DATABASE_URL"] = wire.url.partition("?")[0]
        module: Any = import_module("app")
        async with (
            module.app.router.lifespan_context(module.app),
            AsyncClient(transport=ASGITransport(module.app), base_url="http://app") as client,
        ):

            async def ask(name: str, method: str, path: str, **options: Any) -> Response:
                with wire.counting() as counted:
                    answer = await client.request(method, path, **options)
                answer.raise_for_status()
                told[name] = counted.count + counted.connecting
                return answer

            for turn in ("first", "again"):
                somebody = {**SOMEBODY, "username": turn, "email": f"{turn}@b.com"}
                user = (await ask("create", "POST", "/users/", json=somebody)).json()
                await ask("read", "GET", f"/users/{user['id']}")
                await ask("patch", "PATCH", f"/users/{user['id']}", json={"username": f"{turn}!"})
                await ask("page", "GET", "/users/")
                await ask("posts", "GET", f"/users/{user['id']}/posts")
            async with module.engine.connect() as held:
                await held.execute(module.select(module.User))
                await ask("fresh", "GET", f"/users/{user['id']}")
    return told


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # where app.py is
    sys.stdout.write(json.dumps(asyncio.run(count(sys.argv[1]))))
