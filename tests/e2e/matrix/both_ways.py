"""One image in one guest, by host files and by handoff: refused alike, or equal byte for byte."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from devicemodel.discover import HostFiles, discover
from devicemodel.images.source import host_image
from devicemodel.ready import Ready
from handoff.addresses import MIB, GpaRange
from handoff.descriptor import Role, StagedImage
from handoff.descriptor_codec import encode_descriptor
from handoff.errors import HandoffError
from handoff.guest_ram import MemfdRam, create_ram_file, regions_for
from handoff.modules import ModuleFile
from handoff.platforms import Platform, low_ram_limit, memory_map
from tests.builders import Guest, poisoned_guest
from tests.devicemodel.handover import GENERATION, plan_of, through, told, waiting
from tests.e2e.matrix.cells import Method
from tests.e2e.matrix.images import Bootable
from toolstack.load import stage_places

ENOUGH_MIB = 192
"""No image here needs more to be placed; all of it is poisoned for each comparison."""


def compared(bootable: Bootable, method: Method, platform: Platform, *, starts: bool) -> str | int:
    """How many ranges the plan names, all equal; or the refusal, which is the same both ways.

    starts: it is not refused; else RAM is not poisoned, as nothing is written to it."""
    native = _outcome(bootable, method, platform, handed_over=False, starts=starts)
    handed = _outcome(bootable, method, platform, handed_over=True, starts=starts)
    assert handed == native
    return native if isinstance(native, str) else len(native[1])


def _outcome(
    bootable: Bootable, method: Method, platform: Platform, *, handed_over: bool, starts: bool
) -> str | tuple[object, dict[GpaRange, bytes]]:
    memory = min(bootable.memory_mib, ENOUGH_MIB) * MIB
    with _guest(platform, memory, poisoned=starts) as guest:
        try:
            start = _handed_over if handed_over else _native
            done = start(bootable, method, guest)
        except HandoffError as error:
            return str(error)
        return told(plan_of(done)), {where: guest.ram.digest(where) for where in waiting(done)}


@contextmanager
def _guest(platform: Platform, memory: int, *, poisoned: bool) -> Iterator[Guest]:
    if poisoned:
        with poisoned_guest(platform, memory) as guest:
            yield guest
        return
    limit = low_ram_limit(platform, memory)
    regions = regions_for(memory, limit)
    fd = create_ram_file("matrix", memory)
    try:
        with closing(MemfdRam(fd, regions)) as ram:
            yield Guest(platform, memory, memory_map(memory, limit), regions, ram)
    finally:
        os.close(fd)


def _native(bootable: Bootable, method: Method, guest: Guest) -> Ready:
    with ExitStack() as stack:
        kernel, *modules = [
            host_image(
                role,
                stack.enter_context(io.FileIO(named.path)),
                _name(named),
                named.arguments.encode(),
            )
            for role, named in _files(bootable)
        ]
        files = HostFiles(kernel, modules[0] if modules else None, tuple(modules[1:]))
        frame = _frame(bootable, method, guest, ())
        return through(discover(frame, GENERATION, guest.ram, files), guest)


def _handed_over(bootable: Bootable, method: Method, guest: Guest) -> Ready:
    named = _files(bootable)
    contents = [Path(file.path).read_bytes() for _, file in named]
    places = stage_places([len(content) for content in contents], guest.e820)
    staged = tuple(
        replace(
            guest.stage(role, content, place.start),
            name=_name(file),
            arguments=file.arguments.encode(),
        )
        for (role, file), content, place in zip(named, contents, places, strict=True)
    )
    frame = _frame(bootable, method, guest, staged)
    return through(discover(frame, GENERATION, guest.ram, None), guest)


def _files(bootable: Bootable) -> list[tuple[Role, ModuleFile]]:
    roles = [Role.KERNEL, Role.RAMDISK, *(Role.MODULE for _ in bootable.modules[1:])]
    return list(zip(roles, (ModuleFile(str(bootable.kernel)), *bootable.modules), strict=False))


def _frame(
    bootable: Bootable, method: Method, guest: Guest, staged: Sequence[StagedImage]
) -> bytes:
    descriptor = guest.descriptor(
        staged, cmdline=bootable.cmdline.encode(), boot=method.boot, entry=method.entry
    )
    return encode_descriptor(descriptor, GENERATION)


def _name(file: ModuleFile) -> bytes:
    return Path(file.path).name.encode()
