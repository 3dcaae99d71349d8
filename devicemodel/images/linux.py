"""Linux/x86: a bzImage entered in real mode, as its own boot protocol asks.

Source: Documentation/arch/x86/boot.rst in Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.block import (
    BLOCK_MAX_BYTES,
    Copy,
    ParameterBlock,
    RealModeEntry,
)
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.setup_header import (
    CAN_USE_HEAP,
    LOADED_HIGH,
    SetupHeader,
    patched,
)
from devicemodel.images.source import ImageSlice, Sources
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import MIB, PAGE, Gpa, GpaRange, align_up
from handoff.errors import ConfigError, DoesNotFit, LayoutError, PlacementError
from handoff.platforms import TOP_KEPT_BYTES, Platform
from handoff.report import When

SETUP_BASE = Gpa(0x10000)
"""Where the real-mode part runs; its segment ends with heap and stack."""
CMDLINE_BASE = Gpa(0x20000)
_STACK_TOP = 0xFFF0
_HEAP_END_PTR = 0x10000 - 0x200
RELOCATED_BASE = Gpa(2 * MIB)
"""Clear of the firmware that owns 0x100000."""
FIXED_BASE = Gpa(1 * MIB)
"""Where a kernel that cannot be relocated runs."""
LOADER_XEN = 0x90
LOADER_QEMU = 0xB0
_VGA_MODES = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}
_UNPACK_FACTOR = 4
"""Room kept for a kernel that does not tell (before 2.10), in multiples of its file part."""


@dataclass(frozen=True, slots=True)
class LinuxKernel:
    """A verified kernel: the header, and the one private copy of the setup code."""

    header: SetupHeader
    setup: bytes
    payload: ImageSlice
    """the protected-mode part"""


def check_supported(header: SetupHeader) -> None:
    """Raises: LayoutError for a kernel of the protocol that is not started here yet."""
    if header.version < 0x202:
        raise LayoutError(
            "kernel setup_header.version",
            0x206,
            f"{header.version:#x}",
            "protocol 2.02 or newer is needed: take a kernel of 2000 or later",
        )
    if not header.loadflags & LOADED_HIGH:
        raise LayoutError(
            "kernel setup_header.loadflags",
            0x211,
            f"{header.loadflags:#x}",
            "a zImage loaded below 1 MiB is not supported: build a bzImage",
        )
    if not header.relocatable and (header.pref_address or FIXED_BASE) < FIXED_BASE:
        raise LayoutError(
            "kernel setup_header.pref_address",
            0x258,
            f"{header.pref_address:#x}",
            "a bzImage runs at 1 MiB or above: setup code and command line are below",
        )


def plan_linux(
    kernel: LinuxKernel, sources: Sources, guest: GuestMap, platform: Platform, rom_bytes: int
) -> BootPlan:
    """Where everything goes, and what the BIOS extension has to do.

    Raises: PlacementError where it does not fit, ConfigError for a command line the kernel
    cannot take.
    """
    _check_cmdline(sources.cmdline, kernel.header)
    _require(GpaRange.between(SETUP_BASE, CMDLINE_BASE), guest, "setup code", at_bev=True)
    cmdline = sources.cmdline + b"\0"
    cmdline_at = GpaRange(CMDLINE_BASE, len(cmdline))
    _require(cmdline_at, guest, "command line", at_bev=True)
    space = Space(guest)
    run = _place_kernel(kernel, guest, space)
    ramdisk = _place_ramdisk(sources, kernel.header, space)
    setup = _patched_setup(kernel, run.entry, ramdisk, sources.cmdline, platform)
    setup_wait = _small(space, len(setup), "kernel setup code")
    cmdline_wait = _small(space, len(cmdline), "command line")
    block_range = _small(space, BLOCK_MAX_BYTES, "parameter block")
    rom_staging = _small(space, rom_bytes, "BIOS extension")
    copies = [
        Copy(setup_wait, SETUP_BASE),
        Copy(cmdline_wait, CMDLINE_BASE),
    ]
    placements = [
        *run.placements,
        Placement("setup code", setup_wait, setup, When.NOW, "low memory is zeroed at int 19h"),
        Placement(
            "setup code",
            GpaRange(SETUP_BASE, len(setup)),
            setup,
            When.BEV,
            "real-mode part, segment 0x1000",
        ),
        Placement("command line", cmdline_wait, cmdline, When.NOW, "waits beside the setup code"),
        Placement(
            "command line",
            cmdline_at,
            cmdline,
            When.BEV,
            "cmd_line_ptr, low memory",
        ),
    ]
    if ramdisk is not None:
        placements.append(ramdisk)
    if run.bev_copy is not None:
        copies.append(run.bev_copy)
    segment = SETUP_BASE >> 4
    return BootPlan(
        method=f"linux {kernel.header.version_text}, real-mode entry",
        placements=tuple(placements),
        block=ParameterBlock(
            entry=RealModeEntry(cs=segment + 0x20, ip=0, ss=segment, sp=_STACK_TOP, ds=segment),
            steps=tuple(copies),
        ),
        block_range=block_range,
        rom_staging=rom_staging,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Where the protected-mode part goes and what it takes when it runs."""

    entry: Gpa
    placements: tuple[Placement, ...]
    bev_copy: Copy | None


def _place_kernel(kernel: LinuxKernel, guest: GuestMap, space: Space) -> _Run:
    header, size = kernel.header, kernel.payload.size
    if header.relocatable:
        load = GpaRange(Gpa(align_up(RELOCATED_BASE, header.kernel_alignment)), size)
        start = max(load.start, header.pref_address or 0)
    else:
        load = GpaRange(FIXED_BASE, size)
        start = header.pref_address or FIXED_BASE
    footprint = max(header.init_size or size * _UNPACK_FACTOR, size)
    needs = f"kernel (init_size {footprint:#x})"
    at_load = GpaRange(load.start, footprint)
    unpacks = GpaRange(Gpa(start), footprint)
    # The one that needs more memory first, so that its refusal says how much is enough.
    for where in sorted((at_load, unpacks), reverse=True):
        _require(where, guest, needs, at_bev=True)
    if header.relocatable:
        _require(load, guest, "kernel", at_bev=False)
    space.take(at_load)
    space.take(unpacks)
    why = f"runs from {start:#x}: " + (
        "pref_address" if start == header.pref_address else "its load address"
    )
    kept = Placement("unpacked kernel", unpacks, None, When.RUN, why)
    free_now = guest.conflict(load, at_bev=False)
    if free_now is None:
        reason = "relocatable: code32_start" if header.relocatable else "fixed address"
        final = Placement("kernel", load, kernel.payload, When.NOW, reason)
        return _Run(load.start, (final, kept), None)
    waits = space.lowest(size, PAGE, guest.staging, "kernel that waits for 0x100000")
    staged = Placement("kernel", waits, kernel.payload, When.NOW, f"waits: {free_now}")
    final = Placement("kernel", load, kernel.payload, When.BEV, "not relocatable")
    return _Run(load.start, (staged, final, kept), Copy(waits, load.start))


def _require(where: GpaRange, guest: GuestMap, name: str, *, at_bev: bool) -> None:
    """Raises: PlacementError if `where` is not free now, or not once firmware is done."""
    conflict = guest.conflict(where, at_bev=at_bev)
    if conflict is None:
        return
    remedy = "it cannot run on this platform"
    limit = guest.low_ram_end - TOP_KEPT_BYTES if at_bev else guest.staging.end
    if where.end > limit:
        missing = align_up(where.end - limit, MIB) // MIB
        remedy = f"give the guest at least {missing} MiB more memory"
    raise DoesNotFit(f"{name} needs {where}, but {conflict}", remedy)


def _place_ramdisk(sources: Sources, header: SetupHeader, space: Space) -> Placement | None:
    if sources.ramdisk is None:
        return None
    size = sources.ramdisk.size
    window = space.guest.staging
    top = min(window.end, header.initrd_addr_max + 1)
    if top <= window.start:
        raise PlacementError(
            f"ramdisk must end at initrd_addr_max {header.initrd_addr_max:#x}, "
            f"below all staging {window}: this kernel cannot take a ramdisk"
        )
    within = GpaRange.between(window.start, top)
    where = space.highest(size, PAGE, within, "ramdisk")
    reason = "highest free below " + ("firmware's zone" if top == window.end else "initrd_addr_max")
    return Placement("ramdisk", where, sources.ramdisk.whole(), When.NOW, reason)


def _small(space: Space, size: int, name: str) -> GpaRange:
    return space.highest(size, PAGE, space.guest.staging, name)


def _check_cmdline(cmdline: bytes, header: SetupHeader) -> None:
    if len(cmdline) > header.cmdline_size:
        raise ConfigError(
            f"cmdline has {len(cmdline)} bytes, this kernel takes {header.cmdline_size} "
            "(setup_header.cmdline_size): shorten cmdline="
        )


def _patched_setup(
    kernel: LinuxKernel,
    entry: Gpa,
    ramdisk: Placement | None,
    cmdline: bytes,
    platform: Platform,
) -> bytes:
    header = kernel.header
    values = {
        "type_of_loader": LOADER_XEN if platform is Platform.XEN_HVM else LOADER_QEMU,
        "loadflags": header.loadflags | CAN_USE_HEAP,
        "heap_end_ptr": _HEAP_END_PTR,
        "cmd_line_ptr": int(CMDLINE_BASE),
        "ramdisk_image": 0 if ramdisk is None else int(ramdisk.range.start),
        "ramdisk_size": 0 if ramdisk is None else ramdisk.range.size,
    }
    if header.relocatable:
        values["code32_start"] = int(entry)
    mode = _video_mode(cmdline)
    if mode is not None:
        values["vid_mode"] = mode
    return patched(kernel.setup, header.version, values)


def _video_mode(cmdline: bytes) -> int | None:
    """The number of the last `vga=`, which only a boot loader can act on; None without."""
    mode = None
    for word in cmdline.split(b" "):
        name, _, value = word.partition(b"=")
        if name == b"vga":
            text = value.decode("ascii", "replace")
            mode = _VGA_MODES.get(text) if text in _VGA_MODES else _number(text)
    return mode


def _number(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise ConfigError(
            f"vga={text!r} in the command line is neither normal, ext, ask nor a mode number "
            "up to 0xffff: correct cmdline="
        )
    return value
