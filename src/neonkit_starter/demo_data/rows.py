"""The rows: a function of a plan, so that the same plan gives the same rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from neonkit_starter.demo_data.words import FAMILY_NAMES, GIVEN_NAMES, SENTENCES, TITLES, WORDS
from neonkit_starter.users.models import Role

Row = tuple[object, ...]

PASSWORD = "a demo for everybody"  # noqa: S105  # public on purpose
"""Every demo user's."""

DOMAIN = "demo.example"
"""Of every demo user's address: a name that no mail reaches (RFC 2606)."""

USER_COLUMNS = (
    "id", "username", "email", "hashed_password", "role", "is_active", "created_at", "updated_at",
)  # fmt: skip
POST_COLUMNS = ("author_id", "title", "content", "created_at", "updated_at")

_SPAN = timedelta(days=730)
_STRIDE = 7919  # a prime that divides no product of our names: neighbours are not namesakes
_LEFT = 0.02  # of the users are not active any more
_EDITED = 0.15  # of the posts were changed
_EDITING = timedelta(days=14)  # after which a post is left alone


@dataclass(frozen=True)
class Plan:
    """The amounts to make.

    Attributes:
        users: how many.
        posts: how many.
        seed: another one gives other names, texts and times.
        until: the day, in UTC, at whose beginning the two years end.
    """

    users: int
    posts: int
    seed: int
    until: date

    @property
    def end(self) -> datetime:
        """The moment before which everything happened."""
        return datetime.combine(self.until, time(), UTC)

    @property
    def example(self) -> str:
        """The name of a user who can sign in."""
        return next(_usernames(self))

    def at(self, share: float) -> datetime:
        """The moment when this share of the two years was over."""
        return self.end - _SPAN * (1.0 - share)

    def random(self, what: str) -> Random:
        """Chance of its own for one kind of rows."""
        return Random(f"{self.seed} {what}")  # noqa: S311  # nothing here is secret


def user_rows(plan: Plan, ids: Sequence[int], hashed_password: str) -> Iterator[Row]:
    """Make the users, in the order in which they registered: one after the other over two years.

    None of them may do more than a user may, since everybody knows their password.

    Args:
        plan: what to make.
        ids: one for each.
        hashed_password: of all of them.
    """
    random = plan.random("users")
    for number, (identity, username) in enumerate(zip(ids, _usernames(plan), strict=False)):
        moment = plan.at(max(0.0, number - random.random()) / plan.users)
        is_active = number == 0 or random.random() >= _LEFT
        address = f"{username}@{DOMAIN}"
        yield (
            identity, username, address, hashed_password, Role.USER.value, is_active, moment, moment
        )  # fmt: skip


def post_rows(plan: Plan, authors: Sequence[int]) -> Iterator[Row]:
    """Make the posts, in the order in which they were written: one after the other over two years.

    Authorship is Zipf's: the n-th user writes 1/n of what the first one does, among those who have
    registered by then.

    Args:
        plan: what to make.
        authors: the users' ids, in the order in which they registered.
    """
    random = plan.random("posts")
    words = _Words(random)
    for number in range(plan.posts):
        share = (number + random.random()) / plan.posts
        registered = int(share * plan.users) + 1
        rank = int((registered + 1) ** random.random())  # P(rank = n) is log(1 + 1/n), scaled
        written = plan.at(share)
        changed = written
        if random.random() < _EDITED:
            changed = min(plan.end, written + _EDITING * random.random())
        yield authors[min(rank, registered) - 1], words.title(), words.text(), written, changed


def _usernames(plan: Plan) -> Iterator[str]:
    """Names without end, each once: all pairs in a stirred order, then all with a number."""
    random = plan.random("names")
    given = random.sample(GIVEN_NAMES, len(GIVEN_NAMES))
    family = random.sample(FAMILY_NAMES, len(FAMILY_NAMES))
    pairs = len(given) * len(family)
    number = 0
    while True:
        before, pair = divmod(number, pairs)
        first, last = divmod(pair * _STRIDE % pairs, len(family))
        yield f"{given[first]}.{family[last]}{before + 1 if before else ''}"
        number += 1


class _Words(Mapping[str, str]):
    """Fills templates: each look-up of a kind of word gives another one of them."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def __getitem__(self, kind: str) -> str:
        return self._random.choice(WORDS[kind])

    def __iter__(self) -> Iterator[str]:
        return iter(WORDS)

    def __len__(self) -> int:
        return len(WORDS)

    def title(self) -> str:
        return self._random.choice(TITLES).format_map(self)

    def text(self) -> str:
        sentences = self._random.choices(SENTENCES, k=self._random.randint(1, 5))
        return " ".join(sentences).format_map(self)
