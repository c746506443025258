"""The bodies that clients send and get."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, StringConstraints

from neonkit import InputModel, PatchModel, UtcDateTime


def _refuse_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than white space")
    return text


Title = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_refuse_blank)
]
Content = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class PostCreate(InputModel):
    """A new post; its author is the caller."""

    title: Title
    content: Content


class PostPatch(PatchModel):
    """Changes of a post."""

    title: Title
    content: Content


class PostRead(BaseModel):
    """A post, as clients see one."""

    id: int
    author_id: int
    title: str
    content: str
    created_at: UtcDateTime
    updated_at: UtcDateTime
