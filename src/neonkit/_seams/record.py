"""A seam: one name inside of another package that our code reads, calls or overrides."""

from typing import Final, NamedTuple

ATTRIBUTE: Final = "attribute"
LITERAL: Final = "literal"


class Seam(NamedTuple):
    """One name that another package may change without a word.

    Attributes:
        owner: the class or module that has it, as `package.module:Class`: text, so that a table can
            be read where the owner is gone.
        name: the name in it.
        form: its parameters, such as `(self, state)` or `async (self, operation)`; `ATTRIBUTE` for
            data; `LITERAL` for a text that the code of the module, or of the package, holds.
        breaks: what a user loses when it goes.
    """

    owner: str
    name: str
    form: str
    breaks: str
