"""The posts' part of the API: all read, authors write, moderators and administrators too."""

from fastapi import APIRouter
from sqlalchemy import delete, insert, update
from sqlmodel import col

from neonkit import (
    CallerDep,
    CreatedDep,
    DatabaseDep,
    IfMatchDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    ReadSessionDep,
    TaggedDep,
    existing,
    paginate,
)
from neonkit.errors import ForbiddenError, NotFoundError
from neonkit.web import raises
from neonkit_starter.parameters import Id, IdFilter
from neonkit_starter.posts.models import Post
from neonkit_starter.posts.queries import ETAG, NEWEST_FIRST, POST, POSTS, SHOWN
from neonkit_starter.posts.rules import writable
from neonkit_starter.posts.schemas import PostCreate, PostPatch, PostRead

router = APIRouter(tags=["posts"])


@router.get("/users/{user_id}/posts")
async def list_posts_of_user(user_id: Id, session: ReadSessionDep, page: PageDep) -> Page[PostRead]:
    """List what a user has written, newest first; nothing where there is no such user."""
    written = POSTS.where(col(Post.author_id) == user_id)
    return await paginate(session, written, page, sort=[NEWEST_FIRST])


@router.post("/posts", status_code=201)
async def create_post(
    body: PostCreate,
    me: CallerDep,
    db: DatabaseDep,
    key: OptionalIdempotencyKey,
    created: CreatedDep,
) -> PostRead:
    """Write a post; you are its author."""
    new = insert(Post).values(author_id=me.id, **body.model_dump()).returning(*SHOWN, ETAG)
    return created((await db.execute(new, key)).one())


@router.get("/posts")
async def list_posts(
    session: ReadSessionDep, page: PageDep, author_id: IdFilter = None
) -> Page[PostRead]:
    """List posts, newest first unless `sort` says otherwise; `q` looks in titles and contents."""
    posts = POSTS if author_id is None else POSTS.where(col(Post.author_id) == author_id)
    return await paginate(
        session,
        posts,
        page,
        sort=[NEWEST_FIRST, col(Post.id), col(Post.title)],
        search=[col(Post.title), col(Post.content)],
    )


@router.get("/posts/{post_id}", openapi_extra=raises(NotFoundError))
async def read_post(post_id: Id, db: DatabaseDep, tagged: TaggedDep) -> PostRead:
    """Read a post."""
    return tagged(existing(await db.execute(POST.where(col(Post.id) == post_id))))


@router.patch("/posts/{post_id}", openapi_extra=raises(ForbiddenError, NotFoundError))
async def update_post(
    post_id: Id, body: PostPatch, me: CallerDep, db: DatabaseDep, if_match: IfMatchDep
) -> PostRead:
    """Change a post."""
    this, changes = col(Post.id) == post_id, body.changes()
    change = update(Post).where(this).values(changes).returning(*SHOWN, ETAG)
    this_one = change if changes else POST.where(this)
    return if_match.tagged(await if_match.write(db, this_one, writable(post_id, me)))


@router.delete(
    "/posts/{post_id}", status_code=204, openapi_extra=raises(ForbiddenError, NotFoundError)
)
async def delete_post(post_id: Id, me: CallerDep, db: DatabaseDep, if_match: IfMatchDep) -> None:
    """Delete a post."""
    drop = delete(Post).where(col(Post.id) == post_id).returning(col(Post.id))
    await if_match.write(db, drop, writable(post_id, me))
