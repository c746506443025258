"""Public names print as they are imported: `neonkit.Database`, wherever the class is written."""

import sys
from types import FunctionType


def show_public_names(room: str) -> None:
    """Let the classes and functions that a room defines and exports say where users find them.

    Tracebacks, `repr` and pickles then name the root where it exports the name as well, else the
    room. A class so named resolves annotations that are text, and is looked up by `inspect`, in
    that place: what is exported annotates its fields with types, not with text.

    Args:
        room: the package's own `__name__`, once it has imported all that it exports.
    """
    module, root = sys.modules[room], sys.modules[room.partition(".")[0]]
    for name in module.__all__:
        value: object = getattr(module, name)
        is_shown = isinstance(value, type | FunctionType)
        if is_shown and value.__module__.startswith(f"{room}._"):
            value.__module__ = root.__name__ if name in root.__all__ else room
