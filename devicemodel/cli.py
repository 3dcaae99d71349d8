"""The command line: libxl's words for a device model, and the descriptors of the simulation."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from devicemodel.host_files import host_files
from devicemodel.rom_option import add_option_rom, option_roms
from devicemodel.run import Setup, serve
from handoff.addresses import AddressError, GpaRange
from handoff.carriers.arguments import OPTION
from handoff.confinement import (
    ConfinementError,
    Identity,
    Mode,
    Prepared,
    Profile,
    address_space_for,
    confine,
    prepare,
)
from handoff.errors import (
    ConfigError,
    ConfinementFailed,
    HandoffError,
    InternalError,
    XenstoreUnavailable,
    printable,
)
from handoff.guest_ram import FOREIGN_RAM, GuestRam, MemfdRam, RamRegion
from xenstore_sim.client import Client
from xenstore_sim.client.device_transport import DeviceTransport, is_device
from xenstore_sim.client.ring_transport import RingDescriptors, RingTransport
from xenstore_sim.client.transport import SocketTransport, Transport
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.names import DOM0, DOMID_SELF, DomId

DEFAULT_OFFER_TIMEOUT_S = 60.0


def main(argv: Sequence[str] | None = None) -> None:
    """Serves one guest and exits: 0 when the toolstack is done, else the error's exit code.

    `inspect` as the first word serves no guest: it tells what would be done with an image. So
    does `rom`: it writes the BIOS extension.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["inspect"]:
            sys.exit(_inspect(words[1:]))
        if words[:1] == ["rom"]:
            sys.exit(_rom(words[1:]))
        options, unused = parser().parse_known_args(words)
        if unused:
            log(f"not used here, as it emulates no device: {printable(' '.join(unused), 400)}")
        run(options)
    except HandoffError as error:
        log(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # Not to carry on, but to end with one line: the toolstack shows it.
        log(f"internal error: {error!r}")
        sys.exit(InternalError.exit_code)


def _rom(words: Sequence[str]) -> int:
    from devicemodel.rom_command import main as rom

    return rom(words)


def _inspect(words: Sequence[str]) -> int:
    # Imported here: the start of a device model is a part of every boot.
    from devicemodel.inspect.command import main as inspect

    return inspect(words)


def parser() -> argparse.ArgumentParser:
    """The options, with libxl's spelling where libxl has the option."""
    out = argparse.ArgumentParser(
        prog="devicemodel",
        allow_abbrev=False,
        description="Device model of one guest: finds the boot images the toolstack left in "
        "guest RAM, brings them to their places and inserts the BIOS extension. "
        "The toolstack starts it; see docs/protocol.md.",
    )
    out.add_argument(
        "-xen-domid", dest="target", type=_target, required=True, help="domid of the guest"
    )
    out.add_argument("-kernel", dest="kernel", type=Path, help="host file (native only)")
    out.add_argument(
        "-initrd",
        dest="modules",
        type=Path,
        action="append",
        default=[],
        help="host file (native only); again for each module behind the ramdisk",
    )
    out.add_argument(
        "--initrd-arguments",
        dest="arguments",
        action="append",
        default=[],
        metavar="TEXT",
        help="command line of the -initrd of the same number",
    )
    out.add_argument("-bios", dest="bios", type=Path, help="host file (native only), no kernel")
    out.add_argument(
        "--firmware", type=Path, help="host file (native only): hvmloader, which starts the -bios"
    )
    out.add_argument("--acpi", type=Path, help="host file (native only): tables for hvmloader")
    out.add_argument("--smbios", type=Path, help="host file (native only), likewise")
    out.add_argument(
        OPTION, dest="frame", action="append", default=[], help="piece of the frame, in order"
    )
    out.add_argument(
        "--xenstore-fd",
        dest="xenstore_fds",
        type=_descriptors,
        default=None,
        metavar="FD[,FD,FD]",
        help="connected to xenstored; or a ring: page, doorbell to xenstored, doorbell from it; "
        "without it, this domain's own xenstore device",
    )
    out.add_argument(
        "--ioreq-fd", type=int, default=None, help="ioreq channel to the guest's machine"
    )
    add_option_rom(out)
    out.add_argument("--ram-fd", type=int, default=None, help="memory file of the guest")
    out.add_argument(
        "--ram-region",
        dest="regions",
        action="append",
        type=_region,
        default=[],
        metavar="GPA:BYTES:OFFSET",
        help="where a stretch of guest RAM lies in the memory file",
    )
    out.add_argument(
        FOREIGN_RAM,
        dest="foreign",
        action="append",
        type=_foreign,
        default=[],
        metavar="GPA:BYTES",
        help="where the guest has RAM: on a Xen host, in the place of a memory file",
    )
    out.add_argument("--parent", type=int, default=None, help="process id not to be outlived")
    out.add_argument(
        "--sandbox",
        type=Mode,
        default=Mode.AUTO,
        choices=list(Mode),
        metavar="{strict,auto,off}",
    )
    out.add_argument("--uid", type=int, default=65534, help="user to become when root")
    out.add_argument("--offer-timeout", type=float, default=DEFAULT_OFFER_TIMEOUT_S, metavar="S")
    return out


def run(options: argparse.Namespace) -> None:
    """Locks itself down, then serves. Raises: HandoffError."""
    native = host_files(options)
    kept = [2]
    if native is not None:
        kept += [image.file.fileno() for image in native.images]
    ioreqs = None
    if options.ioreq_fd is not None:
        kept.append(options.ioreq_fd)
        ioreqs = socket.socket(fileno=options.ioreq_fd)
        ioreqs.setblocking(False)
    roms = option_roms(options)
    # Here, while there is nothing to be locked out of: a ring is mapped, devices are opened.
    connection, connection_fds = _connection(options.xenstore_fds)
    memory = _guest_memory(options)
    setup = Setup(
        target=options.target,
        ram=memory.ram,
        frame_arguments=options.frame,
        native=native,
        offer_timeout_s=options.offer_timeout,
        roms=roms,
        ioreqs=ioreqs,
    )
    kept += [*connection_fds, *memory.descriptors]
    prepared = prepare(mode=options.sandbox, keep_fds=kept, parent_pid=options.parent)
    identity = Identity(options.uid, options.uid)
    trio.run(_main, connection, setup, prepared, identity, memory)


@dataclass(frozen=True, slots=True)
class _GuestMemory:
    """Guest RAM as this process has it."""

    ram: GuestRam
    bytes: int
    descriptors: tuple[int, ...]
    profile: Profile
    """what the process needs to come to it"""


def _guest_memory(options: argparse.Namespace) -> _GuestMemory:
    """Raises: ConfigError, HypervisorError."""
    if (options.ram_fd is None) == (not options.foreign):
        raise ConfigError(f"--ram-fd, {FOREIGN_RAM}: guest RAM is either a file or a domain's")
    if options.ram_fd is not None:
        size = sum(region.range.size for region in options.regions)
        ram = MemfdRam(options.ram_fd, options.regions)
        return _GuestMemory(ram, size, (options.ram_fd,), Profile.DEVICE_MODEL)
    # Imported here: nobody else pays for ctypes.
    from handoff.foreign_memory import ForeignMemory
    from handoff.foreign_ram import ForeignRam

    memory = ForeignMemory()
    memory.restrict(options.target)
    return _GuestMemory(
        ForeignRam(memory, options.target, options.foreign),
        sum(ram.size for ram in options.foreign),
        memory.descriptors(),
        Profile.XEN_DEVICE_MODEL,
    )


async def _main(
    connection: Transport,
    setup: Setup,
    prepared: Prepared,
    identity: Identity,
    memory: _GuestMemory,
) -> None:
    # Inside the loop, so that its own descriptors exist; before a byte of an image is read.
    try:
        report = confine(
            prepared,
            memory.profile,
            identity=identity,
            address_space_bytes=address_space_for(memory.bytes),
        )
    except ConfinementError as error:
        raise ConfinementFailed(str(error)) from error
    for line in report.lines():
        log(f"sandbox: {line}")
    async with Client.over(connection) as client:
        await serve(client, setup, log)


def log(line: str) -> None:
    """One line to the log, which is standard error."""
    os.write(2, f"{line}\n".encode("utf-8", "replace"))


def _connection(fds: Sequence[int] | None) -> tuple[Transport, tuple[int, ...]]:
    """The connection to xenstored, and the descriptors it needs.

    Raises: XenstoreUnavailable if that is no ring, or there is no device.
    """
    try:
        if fds is None:
            device = DeviceTransport.open()
            return device, (device.descriptor,)
        if len(fds) == 1 and is_device(fds[0]):
            return DeviceTransport(fds[0]), tuple(fds)
        if len(fds) == 1:
            connection = socket.socket(fileno=fds[0])
            connection.setblocking(False)
            return SocketTransport(connection), tuple(fds)
        return RingTransport(RingDescriptors(*fds)), tuple(fds)
    except Disconnected as error:
        raise XenstoreUnavailable(f"--xenstore-fd: {error}") from error


def _target(text: str) -> DomId:
    """dom0 is nobody's target. Beyond 16 bits the hypervisor would take it for another domain."""
    if not text.isdecimal() or not DOM0 < int(text) < DOMID_SELF:
        raise argparse.ArgumentTypeError(f"{text!r} is no domain to serve: 1 to {DOMID_SELF - 1}")
    return DomId(int(text))


def _descriptors(text: str) -> tuple[int, ...]:
    fds = tuple(int(part) for part in text.split(",") if part.isdecimal())
    if len(fds) not in (1, 3) or text != ",".join(map(str, fds)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither one descriptor nor three")
    return fds


def _foreign(text: str) -> GpaRange:
    try:
        start, size = (int(part, 0) for part in text.split(":"))
        return GpaRange.between(start, start + size)
    except (ValueError, AddressError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not GPA:BYTES") from error


def _region(text: str) -> RamRegion:
    try:
        start, size, offset = (int(part, 0) for part in text.split(":"))
        return RamRegion(GpaRange.between(start, start + size), offset)
    except (ValueError, AddressError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not GPA:BYTES:OFFSET") from error
