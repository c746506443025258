"""The posts' part of the API: all read, authors write, moderators and administrators too."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import (
    DatabaseDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    PrincipalDep,
    ReadSessionDep,
    SessionDep,
    paginate,
)
from neonkit.errors import ForbiddenError, NotFoundError
from neonkit.web import Principal, raises
from neonkit_starter.posts import queries
from neonkit_starter.posts.models import Post
from neonkit_starter.posts.schemas import PostCreate, PostPatch, PostRead
from neonkit_starter.users.models import Role

router = APIRouter(tags=["posts"])

_LARGEST_ID = 2**31 - 1
_NEWEST_FIRST = col(Post.created_at).desc()

Id = Annotated[int, Path(ge=1, le=_LARGEST_ID)]
AuthorId = Annotated[int | None, Query(ge=1, le=_LARGEST_ID)]


@router.get("/users/{user_id}/posts", response_model=Page[PostRead])
async def list_posts_of_user(user_id: Id, session: ReadSessionDep, page: PageDep) -> Page[Post]:
    """List what a user has written, newest first; nothing where there is no such user."""
    return await paginate(session, queries.posts(author_id=user_id), page, sort=[_NEWEST_FIRST])


@router.post("/posts", response_model=PostRead, status_code=201)
async def create_post(
    body: PostCreate,
    caller: PrincipalDep,
    database: DatabaseDep,
    key: OptionalIdempotencyKey,
    request: Request,
    response: Response,
) -> PostRead:
    """Write a post; you are its author."""

    async def write(session: AsyncSession) -> PostRead:
        post = Post(author_id=caller.id, title=body.title, content=body.content)
        session.add(post)
        await session.flush()
        return PostRead.model_validate(post)

    post = await database.run_transaction(write, key=key)
    response.headers["Location"] = f"{request.url.path}/{post.id}"
    return post


@router.get("/posts", response_model=Page[PostRead])
async def list_posts(
    session: ReadSessionDep, page: PageDep, author_id: AuthorId = None
) -> Page[Post]:
    """List posts, newest first unless `sort` says otherwise; `q` looks in titles and contents."""
    return await paginate(
        session,
        queries.posts(author_id=author_id),
        page,
        sort=[_NEWEST_FIRST, col(Post.id), col(Post.title)],
        search=[col(Post.title), col(Post.content)],
    )


@router.get("/posts/{post_id}", response_model=PostRead, openapi_extra=raises(NotFoundError))
async def read_post(post_id: Id, session: ReadSessionDep) -> Post:
    """Read a post."""
    post = (await session.exec(queries.post_by_id(post_id))).one_or_none()
    if post is None:
        raise NotFoundError
    return post


@router.patch(
    "/posts/{post_id}",
    response_model=PostRead,
    openapi_extra=raises(ForbiddenError, NotFoundError),
)
async def update_post(
    post_id: Id, body: PostPatch, caller: PrincipalDep, session: SessionDep
) -> Post:
    """Change a post."""
    post = await _writable(session, post_id, caller)
    body.apply_to(post)
    await session.commit()
    return post


@router.delete(
    "/posts/{post_id}", status_code=204, openapi_extra=raises(ForbiddenError, NotFoundError)
)
async def delete_post(post_id: Id, caller: PrincipalDep, session: SessionDep) -> None:
    """Delete a post."""
    await session.delete(await _writable(session, post_id, caller))
    await session.commit()


async def _writable(session: AsyncSession, post_id: int, caller: Principal) -> Post:
    post = (await session.exec(queries.locked_post(post_id))).one_or_none()
    if post is None:
        raise NotFoundError
    if caller.id != post.author_id and caller.role not in {Role.MODERATOR, Role.ADMIN}:
        raise ForbiddenError
    return post
