"""The drain switch of a process that is about to end."""


class DrainSwitch:
    """The switch: once it is on, readiness says 503 and connections are not kept."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """From now on, ask clients and balancers to go elsewhere."""
        self.has_begun = True


draining = DrainSwitch()
