"""The scene of the attempts: a target with its stub domain, and a bystander next door.

Whatever is attacked was put up for that: files in a directory of its own, a process that waits,
listening sockets, a guest with RAM, nodes and watches. The bystander goes on with its own work
throughout, and its waits are measured.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from handoff.addresses import MIB, Gpa
from handoff.confinement import spawn
from handoff.confinement.libc import invoke
from handoff.guest_ram import MemfdRam
from handoff.platforms import Platform, low_ram_limit
from toolstack.config import GuestConfig
from toolstack.domain_connection import DomainConnection, SocketConnection, StoreTransport
from toolstack.domain_tree import NewDomain
from toolstack.domains import Domains
from toolstack.hypervisor import Hypervisor, RamFile, guest_memory
from toolstack.isolation.bystander import Bystander
from toolstack.isolation.surroundings import Surroundings
from toolstack.store import Store
from toolstack.xenstored import open_store
from xenstore_sim.client import Client
from xenstore_sim.wire.names import DomId, home

RAM_BYTES = 64 * MIB
_SECRET_AT = Gpa(0x1000)
_LOG = "isolation.log"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a hostile device model is started with and let loose on."""

    store: Store
    around: Surroundings
    arguments: tuple[str, ...]
    targets: Domains
    target: NewDomain
    ram: RamFile
    unsealed: RamFile
    """takes the place of `ram` where nothing is to be in the way"""
    bystander: Bystander

    async def connect(self, privileged: bool) -> DomainConnection:
        """The stub domain's connection; or one of dom0's, whom xenstored refuses nothing."""
        if not privileged:
            stubdom = DomId(self.around.stubdom)
            return await self.store.connect_as(stubdom, StoreTransport.SOCKET)
        stream = await trio.open_unix_socket(str(self.store.rundir / "socket"))
        return SocketConnection(socket.socket(fileno=stream.socket.detach()))

    @asynccontextmanager
    async def on_a_ring(self) -> AsyncIterator[tuple[Scene, DomainConnection]]:
        """The same scene around another stub domain of the target, and its ring: who breaks a
        ring gets no other before its domain is released."""
        async with self.targets.stubdom(self.target, (), _LOG) as (stubdom, arguments):
            around = replace(self.around, stubdom=stubdom.domid)
            connection = await self.store.connect_as(stubdom.domid, StoreTransport.RING)
            yield replace(self, around=around, arguments=arguments), connection


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """The scene while the context lasts. Raises: HandoffError if it cannot be set."""
    secret = secrets.token_hex(8)
    async with open_store(None) as store:
        hypervisor = Hypervisor(set(await store.domains_in_use()))
        targets = Domains(store, hypervisor, _guest("isolation-target"))
        others = Domains(store, hypervisor, _guest("isolation-bystander"))
        with ExitStack() as stack:
            limit = low_ram_limit(Platform.QEMU_PC, RAM_BYTES)
            ram, other_ram = (
                stack.enter_context(guest_memory(name, RAM_BYTES, limit))
                for name in ("target", "bystander")
            )
            unsealed = stack.enter_context(_unsealed(ram))
            other_ram.ram.write(_SECRET_AT, secret.encode())
            process = stack.enter_context(_waiting_process())
            scratch = stack.enter_context(_scratch(secret))
            names = stack.enter_context(_listening(scratch))
            segment = stack.enter_context(_shared_memory())
            async with (
                targets.guest() as target,
                targets.stubdom(target, (), _LOG) as (stubdom, arguments),
                others.guest() as other,
                Client.connect(store.rundir / "domain" / str(other.domid)) as client,
                trio.open_nursery() as nursery,
            ):
                around = Surroundings(
                    scratch=str(scratch),
                    secret=secret,
                    toolstack_pid=os.getpid(),
                    bystander_pid=process.pid,
                    bystander_address=_writable_address(process.pid),
                    bystander_ram_fd=other_ram.fd,
                    abstract_socket=names.abstract,
                    tcp_port=names.tcp_port,
                    udp_port=names.udp_port,
                    shared_memory=segment,
                    ram_bytes=RAM_BYTES,
                    target=target.domid,
                    bystander=other.domid,
                    unborn=30_000,
                    stubdom=stubdom.domid,
                )
                bystander = Bystander(client, home(other.domid), other_ram, secret)
                await bystander.settle()
                nursery.start_soon(bystander.live)
                yield Scene(store, around, arguments, targets, target, ram, unsealed, bystander)
                nursery.cancel_scope.cancel()


def _guest(name: str) -> GuestConfig:
    return GuestConfig(
        name=name, memory_mib=RAM_BYTES // MIB, device_model_stubdomain_override=True
    )


@contextmanager
def _unsealed(like: RamFile) -> Iterator[RamFile]:
    fd = os.memfd_create("guest-ram-unsealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, like.bytes)
        ram = MemfdRam(fd, like.regions)
        try:
            yield RamFile(fd, like.bytes, like.regions, like.e820, ram)
        finally:
            ram.close()
    finally:
        os.close(fd)


@contextmanager
def _waiting_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for the end of its input, which is that of ours at the latest."""
    process = spawn(["/bin/cat"], pass_fds=(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def _writable_address(pid: int) -> int:
    """Of the stack's lowest bytes, where nothing is kept: it grows downwards."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[stack]"):
            return int(line.split("-")[0], 16)
    raise AssertionError("every process has a stack")


@contextmanager
def _scratch(secret: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="isolation-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        file = directory / "secret"
        file.write_text(secret)
        file.chmod(0o644)
        yield directory


@dataclass(frozen=True, slots=True)
class _Names:
    abstract: str
    tcp_port: int
    udp_port: int


@contextmanager
def _listening(scratch: Path) -> Iterator[_Names]:
    abstract = f"isolation-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as unnamed,
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        file.bind(str(scratch / "socket"))
        (scratch / "socket").chmod(0o777)
        unnamed.bind(f"\0{abstract}")
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        for listener in (file, unnamed, tcp):
            listener.listen(100)
        yield _Names(abstract, tcp.getsockname()[1], udp.getsockname()[1])


@contextmanager
def _shared_memory() -> Iterator[int]:
    """A System V segment that anyone may attach and that ends with this process."""
    ipc_private, create, remove = 0, 0o1000, 0
    segment = invoke("shmget", ipc_private, 4096, create | 0o666)
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    at = libc.shmat(segment, None, 0)
    invoke("shmctl", segment, remove, None)
    try:
        yield segment
    finally:
        libc.shmdt(at)
