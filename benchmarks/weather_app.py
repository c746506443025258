"""The app that `benchmarks/foul_weather.py` serves."""

import asyncio

from fastapi import FastAPI
from sqlalchemy import func, text
from sqlmodel import literal, select

import neonkit
from neonkit import DatabaseDep, ReadSessionDep

app = FastAPI()
neonkit.install(app)


@app.get("/read")
async def read(session: ReadSessionDep) -> int:
    """Cost processor time, and next to none of the database's."""
    return (await session.exec(select(literal(1)))).one()


@app.get("/hold")
async def hold(session: ReadSessionDep) -> bool:
    """Hold a connection for 250 ms, and cost next to no processor time."""
    await session.exec(select(func.pg_sleep(0.25)))
    return True


@app.get("/wide")
async def wide(session: ReadSessionDep) -> str:
    """Answer with more than a socket's buffers take."""
    return str((await session.exec(select(func.repeat("x", 4_000_000)))).one())


@app.post("/write")
async def write(database: DatabaseDep) -> int:
    """Write, and commit."""
    count = text("UPDATE weather SET n = n + 1 RETURNING n")
    return int((await database.execute(count)).scalar_one())


@app.get("/wait")
async def wait(seconds: float) -> float:
    """Take a while, without the database."""
    await asyncio.sleep(seconds)
    return seconds
