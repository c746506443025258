"""The posts' part of the API: all read, authors write, moderators and administrators too."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import Executable, Row
from sqlmodel import col

from neonkit import (
    CallerDep,
    Database,
    DatabaseDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    paginate,
)
from neonkit.errors import ForbiddenError, NotFoundError
from neonkit.web import ActingPrincipal, Principal, raises
from neonkit_starter.posts import queries
from neonkit_starter.posts.models import Post
from neonkit_starter.posts.schemas import PostCreate, PostPatch, PostRead
from neonkit_starter.rows import existing
from neonkit_starter.users.models import Role

router = APIRouter(tags=["posts"])

_LARGEST_ID = 2**31 - 1
_NEWEST_FIRST = col(Post.created_at).desc()

Id = Annotated[int, Path(ge=1, le=_LARGEST_ID)]
AuthorId = Annotated[int | None, Query(ge=1, le=_LARGEST_ID)]
PostRow = Row[*tuple[Any, ...]]


@router.get("/users/{user_id}/posts", response_model=Page[PostRead])
async def list_posts_of_user(user_id: Id, database: DatabaseDep, page: PageDep) -> Page[PostRow]:
    """List what a user has written, newest first; nothing where there is no such user."""
    written = queries.posts(author_id=user_id)
    async with database.read_session() as session:
        return await paginate(session, written, page, sort=[_NEWEST_FIRST])


@router.post("/posts", response_model=PostRead, status_code=201)
async def create_post(
    body: PostCreate,
    caller: CallerDep,
    database: DatabaseDep,
    key: OptionalIdempotencyKey,
    request: Request,
    response: Response,
) -> PostRow:
    """Write a post; you are its author."""

    async def write(who: ActingPrincipal) -> PostRow:
        values = queries.new({"author_id": who.id, **body.model_dump()})
        made = await database.execute(
            queries.CREATE_POST, key=key, parameters=values, condition=who.holds
        )
        return made.one()

    post = await caller.act(write)
    response.headers["Location"] = f"{request.scope['path']}/{post.id}"
    return post


@router.get("/posts", response_model=Page[PostRead])
async def list_posts(
    database: DatabaseDep, page: PageDep, author_id: AuthorId = None
) -> Page[PostRow]:
    """List posts, newest first unless `sort` says otherwise; `q` looks in titles and contents."""
    async with database.read_session() as session:
        return await paginate(
            session,
            queries.posts(author_id=author_id),
            page,
            sort=[_NEWEST_FIRST, col(Post.id), col(Post.title)],
            search=[col(Post.title), col(Post.content)],
        )


@router.get("/posts/{post_id}", response_model=PostRead, openapi_extra=raises(NotFoundError))
async def read_post(post_id: Id, database: DatabaseDep) -> PostRow:
    """Read a post."""
    return existing(await database.execute(queries.POST_BY_ID, parameters={"post_id": post_id}))


@router.patch(
    "/posts/{post_id}",
    response_model=PostRead,
    openapi_extra=raises(ForbiddenError, NotFoundError),
)
async def update_post(
    post_id: Id, body: PostPatch, caller: CallerDep, database: DatabaseDep
) -> PostRow:
    """Change a post."""
    changes = body.changes()

    async def change(who: ActingPrincipal) -> PostRow:
        if not changes:
            return await _read_as_writer(database, post_id, who)
        writer = _author_written_by(who)
        statement = queries.change_post(frozenset(changes), is_by_anybody=writer is None)
        values = {"post_id": post_id, "writer": writer, **queries.new(changes)}
        return await _write(database, statement, post_id, who, values)

    return await caller.act(change)


@router.delete(
    "/posts/{post_id}", status_code=204, openapi_extra=raises(ForbiddenError, NotFoundError)
)
async def delete_post(post_id: Id, caller: CallerDep, database: DatabaseDep) -> None:
    """Delete a post."""

    async def drop(who: ActingPrincipal) -> None:
        statement = queries.delete_post(post_id, author_id=_author_written_by(who))
        await _write(database, statement, post_id, who)

    await caller.act(drop)


def _author_written_by(who: Principal) -> int | None:
    """Whose posts the caller may change: their own, or anybody's (`None`)."""
    return None if who.role in {Role.MODERATOR, Role.ADMIN} else who.id


async def _write(
    database: Database,
    statement: Executable,
    post_id: int,
    who: ActingPrincipal,
    values: dict[str, Any] | None = None,
) -> PostRow:
    """Run a statement that changes a post; where it changes none, say why."""
    done = await database.execute(statement, parameters=values, condition=who.holds)
    row: PostRow | None = done.one_or_none()
    if row is None:
        await _read_as_writer(database, post_id, who)
        raise NotFoundError
    return row


async def _read_as_writer(database: Database, post_id: int, who: ActingPrincipal) -> PostRow:
    """Read a post that the caller may change."""
    values = {"post_id": post_id}
    found = await database.execute(queries.POST_BY_ID, parameters=values, condition=who.holds)
    post = existing(found)
    if _author_written_by(who) not in {None, post.author_id}:
        raise ForbiddenError
    return post
