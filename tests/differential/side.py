"""What a conversation needs of a daemon, be it the real one or ours."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from tests.differential.steps import Who
from tests.oracle.raw_client import Message


class Side(Protocol):
    """A daemon and all its clients."""

    def connect(self, who: Who) -> None:
        """Open a socket."""

    def hang_up(self, who: Who) -> None:
        """Close a socket."""

    def say(self, who: Who, messages: Sequence[bytes]) -> None:
        """Send messages in one write."""

    def hear(self, who: Iterable[Who]) -> dict[Who, tuple[Message, ...] | None]:
        """All that each of these was told since it was last asked; None: its connection ended."""

    def create(self, domid: int) -> None:
        """The hypervisor has the domain."""

    def shut_down(self, domid: int) -> None:
        """The domain stopped."""

    def destroy(self, domid: int) -> None:
        """The domain is gone."""
