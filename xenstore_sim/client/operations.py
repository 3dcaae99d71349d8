"""What can be asked of the store, alone or inside a transaction."""

from abc import ABC, abstractmethod

from xenstore_sim.client.listing import PartialListing
from xenstore_sim.wire.errors import InvalidPerms, ProtocolViolation, RequestRefused
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms
from xenstore_sim.wire.strings import strings, terminated


class Operations(ABC):
    """Requests about nodes. Paths are absolute, or relative to the home of the client's domain.

    Each raises RequestRefused when the daemon says no, Disconnected when it is gone. A cancelled
    request may or may not be done; the connection stays usable.
    """

    __slots__ = ()

    @abstractmethod
    async def _ask(self, op: Op, payload: bytes) -> bytes:
        """The payload of the daemon's answer."""

    async def read(self, path: str) -> bytes:
        """The node's value."""
        return await self._ask(Op.READ, terminated(path))

    async def read_or_none(self, path: str) -> bytes | None:
        """The node's value, or None where there is no such node."""
        try:
            return await self.read(path)
        except RequestRefused as refused:
            if refused.errno is not Errno.ENOENT:
                raise
            return None

    async def exists(self, path: str) -> bool:
        """Whether there is such a node."""
        return await self.read_or_none(path) is not None

    async def write(self, path: str, value: bytes | str) -> None:
        """Set the node's value; it and missing ancestors are made."""
        content = value.encode() if isinstance(value, str) else value
        await self._ask(Op.WRITE, terminated(path) + content)

    async def mkdir(self, path: str) -> None:
        """Make sure that the node exists; a new one has no value."""
        await self._ask(Op.MKDIR, terminated(path))

    async def rm(self, path: str) -> None:
        """Remove the node with all below it; no error when only the node itself is missing."""
        await self._ask(Op.RM, terminated(path))

    async def directory(self, path: str) -> tuple[str, ...]:
        """Names of the node's children in the daemon's order, however many."""
        try:
            return tuple(strings(await self._ask(Op.DIRECTORY, terminated(path))))
        except RequestRefused as refused:
            if refused.errno is not Errno.E2BIG:
                raise
        listing = PartialListing()
        while not listing.complete:
            offset = str(listing.offset)
            listing.add(await self._ask(Op.DIRECTORY_PART, terminated(path, offset)))
        return listing.names

    async def get_perms(self, path: str) -> NodePerms:
        """The node's permission list."""
        payload = await self._ask(Op.GET_PERMS, terminated(path))
        try:
            return NodePerms.of(*strings(payload))
        except InvalidPerms as error:
            raise ProtocolViolation(f"GET_PERMS was answered with {payload[:32]!r}") from error

    async def set_perms(self, path: str, perms: NodePerms) -> None:
        """Set the node's permission list."""
        await self._ask(Op.SET_PERMS, terminated(path, *map(str, perms.entries)))
