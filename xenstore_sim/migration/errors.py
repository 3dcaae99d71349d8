"""What is wrong with a state that is to be taken over."""

from xenstore_sim.wire.errors import XenstoreError


class StateError(XenstoreError):
    """A state that cannot be taken over: `where` in it, and why."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
