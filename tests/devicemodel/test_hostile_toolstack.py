"""A toolstack that lies, and RAM that changes under the device model: a reason, never `ready`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest

from devicemodel.discover import discover
from devicemodel.fw_cfg.option_roms import OptionRoms, RomMethod, read_option_rom
from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.images.firmware import FirmwarePlan
from devicemodel.insert import insert
from devicemodel.move import move
from devicemodel.place import place
from devicemodel.plan import BootPlan
from devicemodel.ready import Ready, ready
from devicemodel.verify import verify
from handoff.addresses import GPA_LIMIT, Gpa, GpaRange
from handoff.descriptor import BootMethod, EntryMode, Insert, Role
from handoff.errors import DescriptorRefused, DigestMismatch, HandoffError
from handoff.frame import Frame, FrameKind, encode_frame
from handoff.guest_ram import GuestRam
from handoff.layouts.frame import HEADER_BYTES
from handoff.platforms import Platform
from handoff.report import When
from tests import builders
from tests.builders import FIXED, POISON, RAMDISK, RELOCATABLE, Guest, poisoned_guest
from tests.devicemodel.fw_cfg.witness import pvh_kernel
from tests.devicemodel.handover import AS_IT_IS, CMDLINE, GENERATION, How, Staged, offer
from tests.devicemodel.images.direct_kernel import Header
from tests.devicemodel.images.firmware.staged import LOADER, PC_BIOS
from tests.devicemodel.images.test_direct_entry import direct_elf, multiboot_file
from tests.devicemodel.tampering import Change, Lasts, TamperedRam

KERNEL_AT = 0x400000
ROMS = Path("/usr/share/qemu")


def rom(name: str) -> OptionRoms:
    content = read_option_rom(ROMS / name)
    return OptionRoms(tuple((method, content) for method in RomMethod))


@dataclass(frozen=True, slots=True)
class Method:
    """One way to start a guest, from images in RAM."""

    name: str
    kernel: bytes
    how: How = AS_IT_IS
    roms: OptionRoms | None = None
    ramdisk: bytes | None = RAMDISK
    ramdisk_at: int = 0x600000
    insert: Insert = Insert.WINDOW
    roles: tuple[Role, Role] = (Role.KERNEL, Role.RAMDISK)
    platform: Platform = Platform.XEN_HVM

    def staged(self) -> Staged:
        return Staged(
            self.kernel,
            KERNEL_AT,
            self.ramdisk,
            self.ramdisk_at,
            cmdline=CMDLINE if Role.KERNEL in self.roles else b"",
            insert=self.insert,
            how=self.how,
            roles=self.roles,
        )

    @property
    def images(self) -> tuple[str, ...]:
        """What it hands over."""
        return tuple(role.value for role in self.roles[: 1 if self.ramdisk is None else 2])


LINUX = RELOCATABLE.build()
MULTIBOOT = multiboot_file(0x200000, Header.ADDRESSES)
BIOS = PC_BIOS[-0x10000:]
METHODS = (
    *(Method(f"linux, entry {entry.value}", LINUX, How(entry=entry)) for entry in EntryMode),
    Method("linux, not relocatable", FIXED.build()),
    Method("linux, ramdisk in place", LINUX, ramdisk_at=0x1FF5000),
    Method("linux, genroms", LINUX, insert=Insert.GENROMS),
    Method("pvh", direct_elf(0x200000, 64), How(BootMethod.PVH)),
    Method("multiboot", MULTIBOOT, How(BootMethod.MULTIBOOT)),
    Method("linux by QEMU's ROM", LINUX, roms=rom("linuxboot_dma.bin")),
    Method("pvh by QEMU's ROM", pvh_kernel(), How(BootMethod.PVH), rom("pvh.bin")),
    Method("multiboot by QEMU's ROM", MULTIBOOT, roms=rom("multiboot_dma.bin")),
    Method(
        "firmware, hvmloader",
        BIOS,
        How(BootMethod.FIRMWARE),
        ramdisk=LOADER,
        roles=(Role.BIOS, Role.FIRMWARE),
    ),
    Method(
        "firmware, at the reset vector",
        BIOS,
        How(BootMethod.FIRMWARE),
        ramdisk=None,
        roles=(Role.BIOS, Role.FIRMWARE),
        platform=Platform.QEMU_PC,
    ),
)
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.fixture(scope="module")
def guests() -> Iterator[Mapping[Platform, Guest]]:
    with poisoned_guest(Platform.XEN_HVM) as xen, poisoned_guest(Platform.QEMU_PC) as qemu:
        yield {Platform.XEN_HVM: xen, Platform.QEMU_PC: qemu}


@pytest.fixture
def guest(guests: Mapping[Platform, Guest]) -> Guest:
    return guests[Platform.XEN_HVM]


@pytest.fixture
def its_guest(guests: Mapping[Platform, Guest], method: Method) -> Guest:
    """Of the platform that the method is for."""
    return guests[method.platform]


def through(frame: bytes, ram: GuestRam, roms: OptionRoms | None) -> Ready:
    found = discover(frame, GENERATION, ram, None)
    placed = place(verify(found, ram), roms)
    return ready(insert(move(placed, ram), ram), ram)


def outcome(frame: bytes, ram: GuestRam, roms: OptionRoms | None) -> Ready | HandoffError:
    """How it ends; what is no HandoffError is a failure of the test."""
    end = builders.outcome(lambda: through(frame, ram, roms), HandoffError)
    assert isinstance(end, Ready) or str(end).isprintable()
    return end


def kept(done: Ready) -> dict[GpaRange, bytes]:
    """What was promised to be in RAM: each range with its digest."""
    return {landed.range: landed.digest for landed in done.inserted.landed}


def in_ram(done: Ready, guest: Guest) -> dict[GpaRange, bytes]:
    return {where: guest.ram.read(where) for where in kept(done)}


def items(done: Ready) -> dict[int, bytes]:
    """What the guest will read through fw_cfg."""
    plan = done.inserted.moved.placed.plan
    if not isinstance(plan, FwCfgPlan):
        return {}
    return {key: blob.read_at(0, blob.size) for key, blob in plan.items.items()}


def attempt(guest: Guest, method: Method, change: Change | None) -> tuple[Any, TamperedRam]:
    """One handoff with images staged anew; RAM is poison again but for what it wrote."""
    ram = TamperedRam(guest.ram, change)
    return outcome(offer(guest, method.staged()), ram, method.roms), ram


def clean(guest: Guest, ram: TamperedRam) -> None:
    for where in ram.touched:
        guest.ram.fill(where, POISON)


@every_method
def test_all_that_a_guest_is_started_from_is_digested_last(
    its_guest: Guest, method: Method
) -> None:
    done, ram = attempt(its_guest, method, None)
    assert isinstance(done, Ready)
    plan = done.inserted.moved.placed.plan
    needed = [p.range for p in plan.placements if p.when is When.NOW]
    if isinstance(plan, FwCfgPlan):
        needed += [where for blob in plan.items.values() for where in blob.sources]
    elif isinstance(plan, BootPlan):
        needed.append(plan.block_range)
    if not isinstance(plan, FirmwarePlan):
        assert done.inserted.rom is not None
        needed.append(done.inserted.rom)
    for where in needed:
        assert any(landed.contains(where) for landed in kept(done)), where
    # And nothing but digests comes after the first of these.
    count = len(done.inserted.landed)
    assert [step for step, _ in ram.digested[-count:]] == list(range(ram.step - count, ram.step))
    clean(its_guest, ram)


@every_method
def test_a_byte_that_changes_at_any_step_never_gets_into_what_is_ready(
    its_guest: Guest, method: Method
) -> None:
    reference, untouched = attempt(its_guest, method, None)
    assert isinstance(reference, Ready)
    right, right_items = in_ram(reference, its_guest), items(reference)
    clean(its_guest, untouched)
    staged = method.staged()
    named = set[str]()
    for at in watched(reference, staged):
        for step in range(untouched.step):
            for lasts in Lasts:
                change = Change(step, at, lasts)
                done, ram = attempt(its_guest, method, change)
                if isinstance(done, Ready):
                    assert kept(done) == kept(reference), change
                    if step <= ram.last_digest(at):
                        assert in_ram(done, its_guest) == right, change
                        assert items(done) == right_items, change
                elif isinstance(done, DigestMismatch):
                    named.add(done.image)
                clean(its_guest, ram)
    # What is not needed any more may change; of all else a change was seen.
    assert named == {*method.images} | {one.name for one in reference.inserted.landed}


def watched(done: Ready, staged: Staged) -> list[Gpa]:
    """A header, the middle and the end of each image; the ends of all that is put anywhere."""
    at = {staged.kernel_at, staged.kernel_at + 0x1F1, staged.kernel_at + len(staged.kernel) // 2}
    if staged.ramdisk is not None:
        at |= {staged.ramdisk_at, staged.ramdisk_at + len(staged.ramdisk) - 1}
    for where in kept(done):
        at |= {where.start, where.end - 1}
    return [Gpa(one) for one in sorted(at)]


def lie(change: Callable[[dict[str, Any]], None], frame: bytes) -> bytes:
    """`frame` with another payload, in an envelope that is right."""
    payload = msgpack.unpackb(frame[HEADER_BYTES:])
    change(payload)
    return encode_frame(Frame(FrameKind.DESCRIPTOR, GENERATION, msgpack.packb(payload)))


def image(number: int, **fields: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload["images"][number].update(fields)


def both(field: str, **fields: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload[field].append(fields)


LIES: Mapping[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "images overlap": (image(1, start=0x400010), "payload: images at [0x400000"),
    "an image wraps": (image(0, start=GPA_LIMIT - 0x1000), "images[0]"),
    "an image ends beyond 64 bits": (image(0, start=2**64 - 1), "images[0].start"),
    "an image is empty": (image(0, size=0), "images[0].start: 0x0 bytes"),
    "an image has a negative size": (image(0, size=-1), "images[0].start: -0x1 bytes"),
    "an image is larger than RAM": (image(0, start=0x700000, size=2**40), "images[0]"),
    "an image lies over the interrupt vectors": (image(0, start=0), "images[0]"),
    "an image lies in the option-ROM area": (image(0, start=0xC8000), "images[0]"),
    "an image lies in hvmloader": (image(0, start=0x100000), "images[0]"),
    "an image lies in the MMIO hole": (image(0, start=0xF0000000), "images[0]"),
    "an image lies behind RAM": (image(0, start=0x4000000), "images[0]"),
    "a digest is short": (image(0, digest=bytes(31)), "images[0].digest"),
    "a role is unknown": (image(0, role="bootloader"), "images[0].role"),
    "two kernels": (image(1, role="kernel"), "payload: two images of one role"),
    "no kernel": (image(0, role="module"), "images"),
    "a key too many": (image(0, more=1), "images[0]"),
    "a key is missing": (lambda payload: payload.pop("e820"), "e820"),
    "RAM overlaps RAM": (both("e820", start=0x200000, size=0x1000, type=1), "e820"),
    "RAM wraps": (both("e820", start=GPA_LIMIT - 0x1000, size=0x2000, type=1), "e820"),
    "a RAM range of no known type": (both("e820", start=2**40, size=0x1000, type=99), "e820"),
    "a reservation wraps": (
        both("reserved", start=GPA_LIMIT - 1, size=2, owner="x", until="bev"),
        "reserved",
    ),
    "all of RAM is reserved": (
        lambda payload: payload.update(
            reserved=[{"start": 0, "size": 0x4000000, "owner": "x", "until": "always"}]
        ),
        "images[0]",
    ),
    "the ROM window lies over an image": (
        lambda payload: payload.update(window_start=0x400000),
        "window_start",
    ),
    "the ROM window is RAM's end": (
        lambda payload: payload.update(window_size=2**51),
        "window_start",
    ),
}


@pytest.mark.parametrize("name", list(LIES))
def test_a_lie_of_the_descriptor_is_refused_by_its_field(guest: Guest, name: str) -> None:
    change, field = LIES[name]
    frame = lie(change, offer(guest, METHODS[0].staged()))
    with pytest.raises(DescriptorRefused) as refused:
        through(frame, guest.ram, None)
    assert str(refused.value).startswith(field), str(refused.value)


@pytest.mark.parametrize(
    ("method", "number"),
    [
        pytest.param(method, number, id=f"{method.name}: {image}")
        for method in METHODS
        for number, image in enumerate(method.images)
    ],
)
def test_a_wrong_digest_is_refused_by_the_images_name(
    its_guest: Guest, method: Method, number: int
) -> None:
    frame = lie(image(number, digest=bytes(32)), offer(its_guest, method.staged()))
    with pytest.raises(DigestMismatch) as mismatch:
        through(frame, its_guest.ram, method.roms)
    assert mismatch.value.image == method.images[number]


def test_every_damaged_bit_and_every_cut_of_a_frame_is_refused_by_a_field(guest: Guest) -> None:
    frame = offer(guest, METHODS[0].staged())
    damaged = [frame[:size] for size in range(len(frame))] + [frame + b"\0", frame * 2]
    for bit in range(len(frame) * 8):
        turned = bytearray(frame)
        turned[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(turned))
    for bad in damaged:
        with pytest.raises(DescriptorRefused, match=r"^frame"):
            discover(bad, GENERATION, guest.ram, None)


@every_method
def test_a_payload_with_any_byte_changed_is_refused_or_as_good_as_another(
    its_guest: Guest, method: Method
) -> None:
    """Behind a checksum that is right; another command line, say, is another offer."""
    frame = offer(its_guest, method.staged())
    ends = Counter[str]()
    for at in range(HEADER_BYTES, len(frame)):
        payload = bytearray(frame[HEADER_BYTES:])
        payload[at - HEADER_BYTES] ^= 0x41
        bad = encode_frame(Frame(FrameKind.DESCRIPTOR, GENERATION, bytes(payload)))
        ram = TamperedRam(its_guest.ram)
        its_guest.ram.write(Gpa(KERNEL_AT), method.kernel)
        if method.ramdisk is not None:
            its_guest.ram.write(Gpa(method.ramdisk_at), method.ramdisk)
        done = outcome(bad, ram, method.roms)
        ends[type(done).__name__] += 1
        if isinstance(done, Ready):
            inside = [where for _, where in ram.digested] + ram.touched
            assert all(where.end <= its_guest.memory_bytes for where in inside)
        clean(its_guest, ram)
    assert ends["DescriptorRefused"] > ends.total() // 2, ends
