"""What schemathesis cannot know of the starter: who and what is there, and how it refuses.

Runs inside of schemathesis, in an environment of its own; `fuzz/__main__.py` says who calls.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

API = os.environ["FUZZ_URL"] + "/api/v1"
WORLD: dict[str, Any] = json.loads(os.environ["FUZZ_WORLD"])
WHO = os.environ["FUZZ_WHO"]
COUNTS = Path(os.environ["FUZZ_COUNTS"])
PASSWORD = WORLD["password"]

_LISTS = ("list_users", "list_posts", "list_posts_of_user", "list_accounts", "list_entries")
EXPECTED: dict[str, set[str]] = {
    **{name: {"invalid-cursor"} for name in _LISTS},
    "create_token": {"invalid-credentials"},
    "refresh_token": {"invalid-token"},
    "logout": {"invalid-token"},
    "change_password": {"invalid-credentials", "weak-password"},
    "create_user": {"duplicate", "weak-password", "idempotency-key-reused"},
    "update_me": {"duplicate", "stale-version"},
    "update_user": {"duplicate", "stale-version"},
    "update_post": {"stale-version"},
    "delete_me": {"has-dependents", "stale-version"},
    "delete_user": {"has-dependents", "stale-version"},
    "delete_post": {"stale-version"},
    "close_account": {"balance-not-zero", "stale-version", "idempotency-key-reused"},
    "anonymize_user": {"has-dependents", "idempotency-key-reused"},
    "create_post": {"idempotency-key-reused"},
    "create_account": {"idempotency-key-reused"},
    "create_deposit": {"account-closed", "balance-limit", "idempotency-key-reused"},
    "create_transfer": {
        "account-closed", "balance-limit", "currency-mismatch", "idempotency-key-reused",
        "insufficient-funds", "same-account",
    },
}  # fmt: skip
"""The business refusals of the contract: the requests are valid, and what they ask is not done."""

RULES: dict[str, set[str]] = {
    **{name: {"/query", "/query/cursor", "/query/sort", "/query/q"} for name in _LISTS},
    "read_snapshot": {"/query/ids"},
    "create_user": {"/body/email"},
    "update_me": {"/body/email"},
    "update_user": {"/body/email"},
}
"""Where a rule is said in the description alone: a cursor and an offset at once, a sort key off the
list, a `q` where nothing is searched, a NUL character, an id beyond the largest, an address that
nobody could have."""
UNSTORABLE = "string_unstorable"
"""The code of text that PostgreSQL cannot keep, which the schema of a string does not exclude."""
SORTS = {
    "list_users": ("id", "-username", "created_at,id"),
    "list_posts": ("-created_at", "title", "id"),
    "list_posts_of_user": ("id", "-created_at", "title,-id"),
    "list_accounts": ("id", "-id"),
    "list_entries": (),
}

_counts: Counter[str] = Counter()
_expected: Counter[str] = Counter()
_numbers = count(1)
_turns: Counter[str] = Counter()
_session = requests.Session()


if WORLD["token"]:

    @schemathesis.auth(refresh_interval=None)
    class Auth:
        """Whoever calls in this run."""

        def get(self, case: schemathesis.Case, context: Any) -> str:
            """Their token."""
            del case, context
            return str(WORLD["token"])

        def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
            """Sign a request."""
            del context
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Give two valid requests of three what they need to succeed: somebody, something, a key."""
    name = case.operation.definition.raw.get("operationId", "")
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    if case.method != case.operation.method.upper():
        return
    _turns[name] += 1
    if _turns[name] % 3 == 0:
        return
    headers = case.headers
    for each in ("If-Match", "If-None-Match"):
        headers.pop(each, None)
    if "Idempotency-Key" in headers or name in ("create_transfer", "create_deposit"):
        headers["Idempotency-Key"] = uuid4().hex
    if name in _LISTS:
        _list(case, name)
    make = PREPARED.get(name)
    if make is not None:
        for header, value in make(case).items():
            if header in headers:  # a check may have taken it away
                headers[header] = value


def _list(case: schemathesis.Case, name: str) -> None:
    for each in ("cursor", "sort", "q"):
        case.query.pop(each, None)
    if SORTS[name] and _turns[name] % 2:
        case.query["sort"] = SORTS[name][_turns[name] % len(SORTS[name])]
    if "user_id" in case.path_parameters:
        case.path_parameters["user_id"] = WORLD["me"] or WORLD["ada"]
    if "account_id" in case.path_parameters:
        case.path_parameters["account_id"] = WORLD["accounts"][0]


Headers = dict[str, str]


def _post(path: str, token: str | None = None, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = _session.post(API + path, headers=headers, timeout=30, **options)
    answer.raise_for_status()
    return answer.json()


def _somebody() -> tuple[int, dict[str, Any]]:
    """A new user and their tokens."""
    name = f"fuzz-{os.getpid()}-{next(_numbers)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    made = _post("/users", json=body)
    return made["id"], _post("/auth/token", data={"username": name, "password": PASSWORD})


def _as_somebody(case: schemathesis.Case) -> Headers:
    _give_address(case)
    return {"Authorization": f"Bearer {_somebody()[1]['access_token']}"} if WORLD["me"] else {}


def _of_somebody(case: schemathesis.Case) -> Headers:
    if not WORLD["me"]:
        return {}
    case.path_parameters["user_id"], tokens = _somebody()
    return {} if WHO == "admin" else {"Authorization": f"Bearer {tokens['access_token']}"}


def _give_address(case: schemathesis.Case) -> None:
    """Give a body an address that somebody could have, where it has one."""
    if isinstance(case.body, dict) and "email" in case.body:
        case.body["email"] = f"new-{os.getpid()}-{next(_numbers)}@example.com"


def _update_somebody(case: schemathesis.Case) -> Headers:
    headers = _of_somebody(case)
    _give_address(case)
    if WHO != "admin" and isinstance(case.body, dict):
        case.body.pop("role", None)
        case.body.pop("is_active", None)
    return headers


def _change_password(case: schemathesis.Case) -> Headers:
    case.body = {"current_password": PASSWORD, "new_password": f"nobody guesses {uuid4().hex}"}
    return _as_somebody(case)


def _give_tokens(case: schemathesis.Case) -> Headers:
    case.body = {"refresh_token": _somebody()[1]["refresh_token"]}
    return {}


def _sign_in(case: schemathesis.Case) -> Headers:
    case.body = {"username": "ada", "password": PASSWORD}
    return {}


def _register(case: schemathesis.Case) -> Headers:
    name = f"new-{os.getpid()}-{next(_numbers)}"
    case.body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return {}


def _own_post(case: schemathesis.Case) -> Headers:
    if WORLD["me"]:
        post = _post("/posts", WORLD["token"], json={"title": "On looms", "content": "They weave."})
        case.path_parameters["post_id"] = post["id"]
    return {}


def _own_account(case: schemathesis.Case) -> Headers:
    if WORLD["me"]:
        account = _post("/accounts", WORLD["token"], json={"currency": "EUR"})
        case.path_parameters["account_id"] = account["id"]
    return {}


def _filled_account(case: schemathesis.Case) -> Headers:
    case.path_parameters["account_id"] = WORLD["accounts"][0]
    if isinstance(case.body, dict):
        case.body["amount"] = "0.01"
    return {}


def _transfer(case: schemathesis.Case) -> Headers:
    first, second = WORLD["accounts"]
    case.body = {"from_account_id": first, "to_account_id": second, "amount": "0.01"}
    return {}


def _set(place: str, name: str, key: str) -> Callable[[schemathesis.Case], Headers]:
    def prepare(case: schemathesis.Case) -> Headers:
        getattr(case, place)[name] = WORLD[key]
        return {}

    return prepare


PREPARED: dict[str, Callable[[schemathesis.Case], Headers]] = {
    "create_token": _sign_in,
    "refresh_token": _give_tokens,
    "logout": _give_tokens,
    "change_password": _change_password,
    "create_user": _register,
    "update_me": _as_somebody,
    "delete_me": _as_somebody,
    "update_user": _update_somebody,
    "delete_user": _of_somebody,
    "anonymize_user": _of_somebody,
    "read_user": _set("path_parameters", "user_id", "me"),
    "read_post": _set("path_parameters", "post_id", "post"),
    "update_post": _own_post,
    "delete_post": _own_post,
    "read_account": _set("path_parameters", "account_id", "account"),
    "close_account": _own_account,
    "create_deposit": _filled_account,
    "create_transfer": _transfer,
    "read_snapshot": _set("query", "ids", "ids"),
    "read_transfer": _set("path_parameters", "transfer_id", "transfer"),
    "read_transfer_by_key": _set("path_parameters", "key", "key"),
}


@schemathesis.hook
def after_call(context: Any, case: schemathesis.Case, response: Response) -> None:
    """Count the answers of each operation."""
    name = case.operation.definition.raw.get("operationId", case.operation.label)
    _counts[f"{name} {response.status_code // 100}xx"] += 1
    COUNTS.write_text(json.dumps({"answers": _counts, "expected": _expected}))


@schemathesis.hook
def filter_failure(
    context: Any,
    failure: Failure,
    case: schemathesis.Case,
    response: Response,
) -> bool:
    """Keep what is no business refusal of that operation's."""
    name = case.operation.definition.raw.get("operationId", "")
    if isinstance(failure, EnsureResourceAvailability) and name == "read_user" and WHO == "user":
        _expected["read_user not-found: another's account"] += 1
        return False
    if not isinstance(failure, RejectedPositiveData):
        return True
    for told in _refusals(response):
        if told in EXPECTED.get(name, ()) or told in RULES.get(name, ()) or told == UNSTORABLE:
            _expected[f"{name} {told}"] += 1
            return False
    return _is_valid(case)


def _is_valid(case: schemathesis.Case) -> bool:
    """Whether a case that counts as valid is: near a number's bounds some have a bad header."""
    components = case.meta.components.values() if case.meta else ()
    return not any(each.mode.is_negative for each in components)


def _refusals(response: Response) -> Iterator[str]:
    """The slug of a problem, and the places and codes that it names."""
    try:
        problem = response.json()
    except ValueError:
        return
    if isinstance(problem, dict):
        yield str(problem.get("type", "")).rpartition("/")[2]
        for error in problem.get("errors", ()):
            yield from (error["pointer"], error["code"])
