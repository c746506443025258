"""Rows become entities: each object and its state are as SQLAlchemy's own loading leaves them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_dict, instance_state

from neonkit._seams.sqlalchemy import (
    commit_attributes,
    commit_loaded,
    entrance_of,
    listeners_of,
)

Row = Sequence[Any]
Made = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class EntityLoader:
    """What rows say of one class, each of whose objects stands in one row.

    Attributes:
        mapper: of the class.
        key_of: picks the primary key's values.
        is_missing: tells if these stand for no object, as an outer join's do.
        names: of the attributes that a row has.
        pick: picks their values, in the same order.
        path: by which objects remember how they were loaded.
    """

    mapper: Mapper[Any]
    key_of: Callable[[Row], tuple[Any, ...]]
    is_missing: Callable[[tuple[Any, ...]], object]
    names: tuple[str, ...]
    pick: Callable[[Row], Sequence[Any]]
    path: Any

    @property
    def is_heard(self) -> bool:
        """True if somebody listens to the loading of its objects, such as a composite."""
        manager = self.mapper.class_manager
        return bool(listeners_of(manager, "load") or listeners_of(manager, "refresh"))

    def into(self, session: Session, run: int) -> Made:
        """Make rows objects of a session.

        Args:
            session: whose identity map has the objects that are known.
            run: the number of this execution: an object is filled once in each.
        """
        manager, known = self.mapper.class_manager, session.identity_map.get
        identity = self.mapper.class_
        enter, session_id = entrance_of(session.identity_map), session.hash_key
        key_of, names, pick, path = self.key_of, self.names, self.pick, self.path
        refilled: dict[InstanceState[Any], set[str]] = {}

        def load(row: Row) -> Any:  # noqa: ANN401  # the class's own
            key = identity, key_of(row), None
            instance = known(key)
            if instance is not None:
                state = instance_state(instance)
                if state.runid != run:
                    self._refill(row, state, refilled)
                return instance
            if self.is_missing(key[1]):
                return None
            instance = manager.new_instance()
            state, values = instance_state(instance), instance_dict(instance)
            state.key, state.identity_token, state.session_id = key, None, session_id
            enter(state, key)
            state.load_options, state.load_path, state.runid = (), path, run
            values.update(zip(names, pick(row), strict=True))
            if state.modified:
                commit_loaded(state, values, session.identity_map)
            return instance

        return load

    def _refill(
        self, row: Row, state: InstanceState[Any], refilled: dict[InstanceState[Any], set[str]]
    ) -> None:
        """Fill what an object that was known before has not loaded, or has expired."""
        missing = state.unloaded
        if not missing:
            return
        values = state.dict
        for name, value in zip(self.names, self.pick(row), strict=True):
            if name in missing:
                values[name] = value
        if state not in refilled:
            refilled[state] = missing
            commit_attributes(state, values, missing)
