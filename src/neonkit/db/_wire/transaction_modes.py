"""Transaction modes: how further transactions of a connection begin."""

from sqlalchemy.engine.interfaces import IsolationLevel


class TransactionModes:
    """The modes of BEGIN, under the names that SQLAlchemy's adapters have for them.

    Recipes for `connect` listeners use those names; what they ask for holds on both drivers.

    Attributes:
        isolation_level: of the next transaction, or `AUTOCOMMIT`; `None` for the server's default.
        is_read_only: whether the next transaction only reads.
        is_deferrable: whether it is DEFERRABLE.
    """

    isolation_level: IsolationLevel | None = None
    is_read_only = False
    is_deferrable = False

    def rollback(self) -> None:
        """Roll back what is open: the modes of a transaction do not change in it."""
        raise NotImplementedError

    def set_isolation_level(self, value: IsolationLevel | None) -> None:
        """Choose the level of further transactions; `None` for the server's default."""
        self.rollback()
        self.isolation_level = value

    @property
    def autocommit(self) -> bool:
        """True if each statement commits as itself."""
        return self.isolation_level == "AUTOCOMMIT"

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value != self.autocommit:
            self.set_isolation_level("AUTOCOMMIT" if value else None)

    @property
    def readonly(self) -> bool:
        """True if the next transaction only reads."""
        return self.is_read_only

    @readonly.setter
    def readonly(self, value: bool) -> None:
        self.is_read_only = value

    read_only = readonly

    @property
    def deferrable(self) -> bool:
        """True if the next transaction is DEFERRABLE."""
        return self.is_deferrable

    @deferrable.setter
    def deferrable(self, value: bool) -> None:
        self.is_deferrable = value

    def set_autocommit(self, value: bool) -> None:
        """Choose whether each further statement commits as itself."""
        self.autocommit = value

    def set_read_only(self, value: bool) -> None:
        """Choose whether further transactions only read."""
        self.is_read_only = value

    def set_deferrable(self, value: bool) -> None:
        """Choose whether further transactions are DEFERRABLE."""
        self.is_deferrable = value
