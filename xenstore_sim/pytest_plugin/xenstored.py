"""The daemon as a synchronous test sees it."""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from xenstore_sim.client.operations import Operations
from xenstore_sim.pytest_plugin.options import fault_plan
from xenstore_sim.pytest_plugin.picture import picture
from xenstore_sim.pytest_plugin.running import run_directory
from xenstore_sim.pytest_plugin.thread import DaemonFailed, DaemonThread
from xenstore_sim.server import ServerHandle, Settings
from xenstore_sim.store.counters import Statistics
from xenstore_sim.store.domains import DomainExists
from xenstore_sim.store.faults import FaultPlan, InjectedFault
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms
from xenstore_sim.wire.strings import ENCODING, terminated

T = TypeVar("T")


class Xenstored:
    """A running daemon. Every method returns when the thing is done, in any thread.

    Reads and writes here are dom0's, meet no injected fault, and raise RequestRefused. All methods
    raise DaemonFailed when the daemon ended by itself.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        """seed: of faults that are injected later. Raises: DaemonFailed."""
        self.seed = seed
        self._directory = run_directory()
        self.rundir = Path(self._directory.name)
        try:
            self._thread = DaemonThread(self.rundir, settings)
        except BaseException:
            self._directory.cleanup()
            raise

    @property
    def socket_path(self) -> Path:
        """Where dom0's clients connect."""
        return self.rundir / "socket"

    @property
    def environ(self) -> Mapping[str, str]:
        """What programs need in their environment to find this daemon."""
        return MappingProxyType(
            {"XENSTORED_PATH": str(self.socket_path), "XENSTORED_RUNDIR": str(self.rundir)}
        )

    def statistics(self) -> Statistics:
        """What the daemon did so far, requests by this object included."""
        return self._thread.call(ServerHandle.statistics)

    def control(self, *command: str) -> str:
        """What the daemon says to this command, as in xenstore-control."""
        answer = self._thread.call(lambda handle: handle.ask(Op.CONTROL, terminated(*command)))
        return answer.rstrip(b"\0").decode(ENCODING)

    def stop(self) -> None:
        """End the daemon and remove its directory. Raises: DaemonFailed."""
        try:
            self._thread.stop()
        finally:
            self._directory.cleanup()

    def picture(self) -> str:
        """The tree and what was injected, for people; bounded."""
        try:
            return self._thread.call(lambda handle: picture(handle, self.seed))
        except DaemonFailed as failure:
            return str(failure)

    # -- domains

    def introduce(self, domid: int) -> Path:
        """Introduce a domain, as a toolstack does; the socket at which it connects."""
        self._thread.call(lambda handle: handle.ask(Op.INTRODUCE, terminated(str(domid), "1", "1")))
        return self._thread.call(lambda handle: handle.domain_socket_path(DomId(domid)))

    def ring_socket_path(self, domid: int) -> Path:
        """Where an introduced domain gets its ring, if it prefers one to a socket."""
        return self._thread.call(lambda handle: handle.ring_socket_path(DomId(domid)))

    def release(self, domid: int) -> None:
        """Release a domain, as a toolstack does."""
        self._thread.call(lambda handle: handle.ask(Op.RELEASE, terminated(str(domid))))

    def destroy(self, domid: int) -> None:
        """Let the hypervisor report that the domain is gone."""
        self._thread.call(lambda handle: handle.domain_destroyed(DomId(domid)))

    def shut_down(self, domid: int) -> None:
        """Let the hypervisor report that the domain stopped and still exists."""
        self._thread.call(lambda handle: handle.domain_shut_down(DomId(domid)))

    def set_domain_exists(self, exists: DomainExists) -> None:
        """Ask this from now on, in the daemon's thread, whether the hypervisor has a domain."""
        self._thread.call(lambda handle: handle.set_domain_exists(exists))

    # -- faults

    def inject(self, plan: FaultPlan | str | None) -> None:
        """Do wrong from now on what the plan says, and nothing else; None: nothing at all.

        Raises: OptionError for a text that is no plan.
        """
        wanted = fault_plan(plan, self.seed)
        self._thread.call(lambda handle: handle.inject(wanted))

    @property
    def faults(self) -> tuple[InjectedFault, ...]:
        """The last faults that were injected, oldest first; each prints as a line."""
        return self._thread.call(ServerHandle.injected_faults)

    # -- nodes

    def read(self, path: str) -> bytes:
        """The node's value."""
        return self._do(lambda console: console.read(path))

    def read_or_none(self, path: str) -> bytes | None:
        """The node's value, or None where there is no such node."""
        return self._do(lambda console: console.read_or_none(path))

    def exists(self, path: str) -> bool:
        """Whether there is such a node."""
        return self._do(lambda console: console.exists(path))

    def write(self, path: str, value: bytes | str, perms: str | None = None) -> None:
        """Set the node's value, and its permission list if one is given, as in `n0,r3`."""
        self._do(lambda console: console.write(path, value))
        if perms is not None:
            self.set_perms(path, perms)

    def rm(self, path: str) -> None:
        """Remove the node with all below it."""
        self._do(lambda console: console.rm(path))

    def ls(self, path: str) -> tuple[str, ...]:
        """Names of the node's children, in order of creation."""
        return self._do(lambda console: console.directory(path))

    def perms(self, path: str) -> str:
        """The node's permission list, as in `n0,r3`."""
        return str(self._do(lambda console: console.get_perms(path)))

    def set_perms(self, path: str, perms: str) -> None:
        """Set the node's permission list. Raises: InvalidPerms."""
        entries = NodePerms.parse(perms)
        self._do(lambda console: console.set_perms(path, entries))

    def _do(self, call: "Callable[[_Console], Coroutine[Any, Any, T]]") -> T:
        return self._thread.call(lambda handle: _finished(call(_Console(handle))))


class _Console(Operations):
    """Requests that are answered at once, without a connection."""

    __slots__ = ("_handle",)

    def __init__(self, handle: ServerHandle) -> None:
        self._handle = handle

    async def _ask(self, op: Op, payload: bytes) -> bytes:
        return self._handle.ask(op, payload)


def _finished(call: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never has to wait."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("a console is never made to wait")
