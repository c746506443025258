"""The runtime of an installed app: its database, and the embedded server behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cached_property, partial

from sqlalchemy import MetaData
from sqlmodel import SQLModel
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.types import Scope as ConnectionScope

from neonkit.auth import (
    AccessToken,
    FindPrincipal,
    Issuer,
    IssuerTokens,
    Throttles,
    TokenPolicy,
    issuer_of,
    read_access_token,
)
from neonkit.db import (
    Database,
    PasswordSource,
    create_engine,
    open_scope,
    with_password,
)
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.health import Readiness
from neonkit.history import History
from neonkit.observe import Metrics, log_slow_query, slower_than, watch_statements
from neonkit.resources import CursorPolicy
from neonkit.settings import Settings, database_at
from neonkit.web._admission import admission
from neonkit.web._problems import TABLE, Problem
from neonkit.web._startup import Startup
from neonkit.web._tables_at_start import TablesAtStart

NameCaller = Callable[[HTTPConnection], str | None]
BootStep = Callable[[Database], Awaitable[None]]

_log = logging.getLogger("neonkit")
_settings_log = logging.getLogger("neonkit.settings")

_ELSEWHERE = (
    "the database is on another machine: nothing is made or migrated there before somebody runs "
    "`neonkit migrate`"
)
_GUESSED = (
    "ENVIRONMENT is not set, and the database is on this machine: taken for development, whose "
    "docs, schema and metrics only this machine gets; set ENVIRONMENT to development or production"
)
_TOO_MANY_SESSIONS = (
    "(POOL_SIZE + MAX_OVERFLOW + 1) * WORKERS is %d sessions for %d workers, and the server has "
    "%d: lower one of the three, or use the pooled host; `neonkit doctor` does the sum"
)
_TOO_MANY_WORKERS = (
    "WORKERS is {}, and the server has {} sessions: each worker needs two at least, so lower it, "
    "or use the pooled host"
)
_NEON_RESERVES = 7  # of max_connections
_POSTGRES_RESERVES = 3
_PATIENCE_IN_DEVELOPMENT = 10.0
_IN_SCOPE = "neonkit.runtime"


class NotInstalledError(ConfigurationError):
    """A call or a dependency of neonkit's that met an app without neonkit."""

    def __init__(self) -> None:
        super().__init__("this app has no neonkit: call `neonkit.install(app)` where it is made")


class NotRunningError(ConfigurationError):
    """A use of the database of an app that has neonkit, but whose lifespan does not run."""

    def __init__(self) -> None:
        super().__init__(
            "neonkit is installed on this app, but the app's lifespan does not run, so it has no "
            "database yet: in a test write `with TestClient(app) as client:`; start a server with "
            "its lifespan on; where the app is mounted in another one, call `neonkit.install` on "
            "that one, whose database both then use"
        )


class Runtime:
    """The toolkit's state on one app, at `app.state.neonkit`.

    Args:
        settings: what the environment says.
        database: a database of the caller's, which the app uses and does not close.
        history: the app's revisions, if it is to have any.
        metadata: the tables of the app; SQLModel's own by default.
        principal: says how a token's owner is found.
        caller: names who sends a request without a token.
        password: gives each new connection its password.
        issuers: whose tokens are taken beside the app's own.

    Attributes:
        boot_steps: what the app wants done once the database answers.
        database: where requests go; `None` while the app is not running.
        is_under_test: set by the pytest plugin, whose databases are its own to change.
        metadata: the tables of the app.
        metrics: what `/metrics` tells.
        throttles: what was tried too often, since the app began to run.
        parent: the runtime of the app that this one is mounted in, once it was asked through it.
        problems: the app's table of errors and problems.
        readiness: what `/health/ready` asks.
        startup: what `/health/startup` asks.
    """

    def __init__(  # noqa: PLR0913  # what `install` takes
        self,
        settings: Settings,
        database: Database | None = None,
        *,
        history: History | None = None,
        metadata: MetaData | Sequence[MetaData] | None = None,
        principal: FindPrincipal | None = None,
        caller: NameCaller | None = None,
        password: PasswordSource | None = None,
        issuers: Sequence[Issuer] = (),
    ) -> None:
        self.password = password
        self.settings = settings
        if settings.neon_auth_base_url is not None:
            issuers = [*issuers, Issuer.neon_auth(settings.neon_auth_base_url)]
        self._issuers = {each.url: IssuerTokens(each) for each in issuers}
        self.history = history
        given = SQLModel.metadata if metadata is None else metadata
        self.metadata = (given,) if isinstance(given, MetaData) else tuple(given)
        self.is_under_test = False
        self._direct_dsn: Dsn | None = None  # of a database that is ours to migrate
        self.database = database
        self.principal = principal
        self.caller = caller
        self.boot_steps: list[BootStep] = []
        self.startup: Startup | None = None
        self.metrics = Metrics()
        self.problems: dict[type[Exception], Problem] = dict(TABLE)
        self.readiness: Readiness | None = None
        self.throttles = self._new_throttles()
        self.parent: Runtime | None = None

    @classmethod
    def of(cls, place: Starlette | HTTPConnection | ConnectionScope) -> "Runtime":
        """The runtime that `install` put on an app.

        Args:
            place: the app, or a request to it, a WebSocket or their ASGI scope. An app without
                neonkit that is mounted in one that has it uses its parent's.

        Raises:
            NotInstalledError: there is none; the message says what to write.
        """
        if isinstance(place, Starlette):
            found: Runtime | None = getattr(place.state, "neonkit", None)
        else:
            scope = place.scope if isinstance(place, HTTPConnection) else place
            found = getattr(scope["app"].state, "neonkit", None) or scope.get(_IN_SCOPE)
        if found is None:
            raise NotInstalledError
        return found

    def enter(self, scope: ConnectionScope) -> bool:
        """Put the runtime into a connection's scope, where mounted apps find it.

        Starlette runs no lifespan for an app that is mounted: its database is its parent's.

        Returns:
            whether it is the first one there; a mounted app's is not.
        """
        outer: Runtime = scope.setdefault(_IN_SCOPE, self)
        if outer is self:
            return True
        self.parent = outer
        return False

    @property
    def serving(self) -> "Runtime":
        """The runtime whose lifespan runs: this one, or its parent's where it is mounted."""
        return self if self.database or self.parent is None else self.parent.serving

    def require_database(self) -> Database:
        """The database that requests use.

        Raises:
            NotRunningError: the app's lifespan does not run.
        """
        database = self.serving.database
        if database is None:
            raise NotRunningError
        return database

    async def with_password(self, dsn: Dsn) -> Dsn:
        """An address that the settings name, with the password of the moment."""
        return await with_password(dsn, self.password if self.settings.traffic_dsn else None)

    @cached_property
    def cursors(self) -> CursorPolicy:
        """The keys that sign the cursors of lists."""
        return CursorPolicy(self.settings.signing_keys)

    @cached_property
    def tokens(self) -> TokenPolicy:
        """How tokens are signed, and for how long they hold."""
        return TokenPolicy(
            self.settings.signing_keys,
            lifetime=self.settings.access_token_ttl,
            refresh_lifetime=self.settings.refresh_token_ttl,
            refresh_grace=self.settings.refresh_token_grace,
        )

    async def read_token(self, token: str) -> AccessToken:
        """Give what a valid token says, whoever of those that are known has made it.

        Raises:
            InvalidTokenError: it does not hold.
        """
        theirs = self._issuer_of(token)
        return await theirs.read(token) if theirs else read_access_token(self.tokens, token)

    def read_known_token(self, token: str) -> AccessToken:
        """The same without asking an issuer for its keys.

        Raises:
            InvalidTokenError: it does not hold, or its key is not known yet.
        """
        theirs = self._issuer_of(token)
        return theirs.read_known(token) if theirs else read_access_token(self.tokens, token)

    def _issuer_of(self, token: str) -> IssuerTokens | None:
        return self._issuers.get(issuer_of(token) or "") if self._issuers else None

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Own the database for the app's lifetime; connecting goes on in the background."""
        for warning in self.settings.warnings:
            _settings_log.warning("%s", warning)
        if self.settings.is_development_guessed:
            _settings_log.warning(_GUESSED)
        async with AsyncExitStack() as stack:
            given = self.database
            database = given or await self._open(stack)
            self.database = database
            self.throttles = self._new_throttles()
            self._observe(database, stack)
            admission.lines.add(database)
            stack.callback(admission.lines.discard, database)
            self.readiness = Readiness(
                database.probe, database.health, is_passive=self.settings.sleeps_when_idle
            )
            self.startup = Startup(
                partial(self._look_at_tables, database), partial(self._take_boot_steps, database)
            )
            stack.push_async_callback(self.startup.close)
            boot = asyncio.create_task(self.startup.run())
            stack.push_async_callback(_cancel, boot)
            if not self.settings.is_production:
                if self._is_elsewhere(database):
                    _log.warning(_ELSEWHERE)
                await asyncio.wait({boot}, timeout=_PATIENCE_IN_DEVELOPMENT)
                telling = asyncio.create_task(self._tell_unwritten(boot, database))
                stack.push_async_callback(_cancel, telling)
            try:
                yield
            finally:
                self.startup = None
                self.database = given

    def _new_throttles(self) -> Throttles:
        settings = self.settings
        return Throttles(settings.signing_keys[0], is_enabled=settings.rate_limit_enabled)

    async def _open(self, stack: AsyncExitStack) -> Database:
        settings = self.settings
        dsn = await stack.enter_async_context(database_at(settings.traffic_dsn))
        self._direct_dsn = settings.direct_dsn or dsn
        engine = create_engine(
            dsn,
            driver=settings.database_driver,
            password=self.password
            if settings.traffic_dsn
            else None,  # the embedded one has its own
            pool=settings.pool_policy(),
            timeouts=settings.timeout_policy(),
            application_name=settings.app_name,
            pooler_tracks_statements=settings.pooler_tracks_statements,
            echo=settings.debug,
        )
        return await stack.enter_async_context(Database(engine))

    def _observe(self, database: Database, stack: AsyncExitStack) -> None:
        """Count its statements, log the slow ones, and watch its pool."""
        database.watch(self.metrics)
        slow = slower_than(
            self.settings.slow_query_seconds, log_slow_query, self.metrics.count_slow_query
        )
        stack.enter_context(watch_statements(database.engine, self.metrics.count_query, slow))
        sampling = asyncio.create_task(self.metrics.watch_pool(lambda: database.pool_use))
        stack.push_async_callback(_cancel, sampling)

    async def _look_at_tables(self, database: Database) -> None:
        tables = await self._tables(database)
        with open_scope(self.settings.request_timeout):
            await (tables.look() if self._is_elsewhere(database) else tables.bring())

    async def _tables(self, database: Database) -> TablesAtStart:
        direct = self._direct_dsn and await self.with_password(self._direct_dsn)
        return TablesAtStart(
            database, direct, self.history, self.metadata, self._is_surely_development
        )

    @property
    def _is_surely_development(self) -> bool:
        """Whether somebody said so, or the database is the embedded one."""
        settings = self.settings
        if settings.is_production or settings.is_test:
            return False
        return settings.traffic_dsn is None or not settings.is_development_guessed

    async def _tell_unwritten(self, boot: asyncio.Task[None], database: Database) -> None:
        """Say in development that a revision lacks, once the app has started."""
        await asyncio.wait({boot})
        if self.startup is not None and self.startup.is_over and not self._is_elsewhere(database):
            await (await self._tables(database)).tell_unwritten()

    async def _take_boot_steps(self, database: Database) -> None:
        if not (self.settings.is_test and self._is_elsewhere(database)):
            with open_scope(self.settings.request_timeout):
                for step in self.boot_steps:
                    await step(database)
        self._compare_sessions(database)

    def _compare_sessions(self, database: Database) -> None:
        """Warn where the workers may want more sessions than the server has for them.

        Raises:
            ConfigurationError: there is not even one for requests and one for health to each.
        """
        settings, most = self.settings, database.max_connections
        dsn = settings.traffic_dsn
        if dsn is None or dsn.is_pooled or most is None:
            return  # a pooler has sessions of its own
        wanted = (settings.pool_policy().capacity + 1) * settings.workers
        usable = most - (_NEON_RESERVES if dsn.is_neon else _POSTGRES_RESERVES)
        if 2 * settings.workers > usable:
            raise ConfigurationError(_TOO_MANY_WORKERS.format(settings.workers, usable))
        if wanted > usable:
            _settings_log.warning(_TOO_MANY_SESSIONS, wanted, settings.workers, usable)

    def _is_elsewhere(self, database: Database) -> bool:
        """Whether the database may be anybody's, or people's own: nothing is made there unasked."""
        if self.settings.is_production or self.is_under_test:
            return self.settings.is_production
        direct = self._direct_dsn
        return not database.is_local or (direct is not None and not direct.is_local)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
