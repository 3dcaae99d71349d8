"""A guest from its configuration to its end: domains, images, attempts, console, tear-down."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import trio

from handoff.addresses import GpaRange, size_text
from handoff.carriers import arguments, memory
from handoff.confinement import Mode
from handoff.conversation.toolstack_side import worth_retrying
from handoff.descriptor import TABLES, BootMethod, Descriptor, EntryMode, Role, StagedImage, Subarch
from handoff.descriptor_codec import encode_descriptor
from handoff.errors import HandoffError, XenstoreUnavailable
from handoff.keys import HandoffKeys
from handoff.platforms import ROM_WINDOW, Platform, reservations
from handoff.single_error import single_error
from handoff.store_values import Carrier
from toolstack.attempt import Attempt, LetGo, follow
from toolstack.config.guest import GuestConfig
from toolstack.console import Console
from toolstack.device_model import DEFAULT_PROGRAM
from toolstack.domain_connection import StoreTransport
from toolstack.early_start import WaitingProcess
from toolstack.firmware_files import boot_method, firmware_files, firmware_warnings
from toolstack.guest_run import Patience, failure, run_guest
from toolstack.host import DeviceModelWish, GuestDomain, Host, RunningDeviceModel
from toolstack.ioreq_channel import ioreq_channel
from toolstack.load import (
    ImageFile,
    Loaded,
    LoadMethod,
    OpenImage,
    damaged,
    load,
    open_images,
    stage_places,
)
from toolstack.machine.port import Machine, MachineEnd, OnXen
from toolstack.progress import Progress
from toolstack.publish import offer_writes, withdrawal
from xenstore_sim.wire.errors import XenstoreError

CLEAN_UP_S = 10.0


_OPTIONS: Final = MappingProxyType(
    {
        Role.BIOS: "-bios",
        Role.FIRMWARE: "--firmware",
        Role.ACPI: "--acpi",
        Role.SMBIOS: "--smbios",
    }
)
"""A native device model's, for firmware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `toolstack create` was asked for."""

    config: GuestConfig
    machine: Machine | OnXen
    patience: Patience
    carrier: Carrier = Carrier.XENSTORE
    platform: Platform = Platform.XEN_HVM
    boot: BootMethod = BootMethod.AUTO
    entry: EntryMode = EntryMode.AUTO
    subarch: Subarch = Subarch.PC
    native: bool = False
    """the device model reads the host's files itself"""
    load_method: LoadMethod = LoadMethod.KERNEL
    sandbox: Mode = Mode.AUTO
    tries: int = 3
    stage_timeout_s: float = 30.0
    xenstore: Path | None = None
    """run directory of a running xenstored; None: one of our own"""
    stubdom_xenstore: StoreTransport = StoreTransport.SOCKET
    """how the device model reaches it"""
    rom_words: tuple[str, ...] = ()
    """the device model's arguments for option ROMs of QEMU that it serves; none: its own ROM"""
    device_model_program: Sequence[str] = DEFAULT_PROGRAM
    waiting: WaitingProcess | None = None
    """a device model that runs already, for the first attempt"""


@dataclass(frozen=True, slots=True)
class Outcome:
    end: MachineEnd
    attempts: int
    round_trips: int
    """requests the toolstack made of xenstored"""


async def create(request: Request, progress: Progress, console: Console) -> Outcome:
    """Boots the guest and waits for its end; nothing of it is left afterwards.

    Raises: HandoffError with what went wrong; the guest then did not boot, or did not end
    as a guest should.
    """
    request = replace(request, boot=boot_method(request.config, request.boot))
    if request.boot is BootMethod.FIRMWARE:
        for warning in firmware_warnings(request.config, request.platform, request.machine.name):
            progress.warning(warning)
    try:
        with single_error():
            async with _host(request, progress) as host:
                return await _create(request, progress, console, host)
    except XenstoreError as error:
        raise XenstoreUnavailable(f"xenstore: {error}") from error
    raise AssertionError("single_error lets nothing fall through")


def _host(request: Request, progress: Progress) -> AbstractAsyncContextManager[Host]:
    # Imported here: a boot pays for the one host it is on.
    if isinstance(request.machine, OnXen):
        from toolstack.xen.host import xen_host

        return xen_host(request.config, progress)
    from toolstack.simulated_host import simulated_host

    return simulated_host(
        request.config, request.machine, request.xenstore, request.stubdom_xenstore
    )


async def _create(request: Request, progress: Progress, console: Console, host: Host) -> Outcome:
    config = request.config
    async with host.guest() as guest:
        progress.stage(
            "toolstack",
            "created",
            f'guest "{config.name}" is domain {guest.domid}, {size_text(guest.memory.bytes)}',
        )
        # Opened for a native boot, too: what cannot be read is refused here, in words.
        with open_images(image_files(config, request.platform)) as opened:
            loaded = () if request.native else opened
            boot = _Boot(request, progress, console, host, guest, loaded)
            return await boot.until_ended()


def image_files(config: GuestConfig, platform: Platform) -> tuple[ImageFile, ...]:
    """The images of `config`; the last one is staged highest, where a ramdisk stays.

    Raises: ConfigError for firmware that is not installed.
    """
    if config.kernel is None:
        return firmware_files(config, platform)
    kernel = ImageFile(Role.KERNEL, Path(config.kernel))
    if config.ramdisk is None:
        return (kernel,)
    ramdisk = ImageFile(Role.RAMDISK, Path(config.ramdisk), config.ramdisk_arguments)
    more = (ImageFile(Role.MODULE, Path(m.path), m.arguments) for m in config.more_modules)
    return (kernel, ramdisk, *more)


@dataclass(slots=True)
class _Boot:
    request: Request
    progress: Progress
    console: Console
    host: Host
    guest: GuestDomain
    opened: tuple[OpenImage, ...]
    loaded: Loaded | None = None

    async def until_ended(self) -> Outcome:
        """Tries up to `tries` device models; runs the guest that one of them made ready."""
        places = stage_places([image.size for image in self.opened], self.guest.memory.e820)
        for generation in range(1, self.request.tries + 1):
            ran = False
            try:
                with single_error():
                    async with self._attempt(generation, places) as (let_go, process):
                        ran = True
                        end = await run_guest(
                            let_go.machine, process, self.console, self.request.patience
                        )
            except HandoffError as error:
                # A guest that ran has perhaps written to its disks: it is not started anew.
                last = ran or generation == self.request.tries
                if last or not worth_retrying(error):
                    raise
                self.progress.warning(f"attempt {generation} failed ({error}), trying again")
                continue
            self.progress.stage("machine", end.reason.value, end.detail)
            problem = failure(end)
            if problem is not None:
                raise problem
            return Outcome(end, generation, self.host.store.client.round_trips)
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def _attempt(
        self, generation: int, places: Sequence[GpaRange]
    ) -> AsyncIterator[tuple[LetGo, RunningDeviceModel]]:
        request = self.request
        # The frame must be there before the arguments are written if it rides in them.
        frame = None
        words = (*self._arguments(), *request.rom_words)
        if request.carrier is Carrier.CMDLINE:
            frame = await self._prepare(generation, places)
            words += arguments.to_arguments(frame)
        files = image_files(request.config, request.platform)
        with ioreq_channel() if request.rom_words else nullcontext() as ioreqs:
            wish = DeviceModelWish(
                words,
                request.sandbox,
                request.device_model_program,
                request.waiting if generation == 1 else None,
                None if ioreqs is None else ioreqs.device_model,
            )
            running = self.host.device_model(self.guest, wish, self.progress)
            async with running as (keys, process):
                # The device model starts while the images are loaded: it waits for the offer.
                if frame is None:
                    frame = await self._prepare(generation, places)
                await self._publish(keys, generation, frame)
                client = self.host.store.client
                try:
                    attempt = Attempt(
                        generation,
                        keys,
                        self.guest.memory,
                        self.guest.machine(None if ioreqs is None else ioreqs.machine.fileno()),
                        request.stage_timeout_s,
                        request.boot is BootMethod.FIRMWARE,
                        frozenset(image.role for image in files if image.role in TABLES),
                    )
                    async with follow(attempt, client, process, self.progress) as let_go:
                        yield let_go, process
                finally:
                    await self._withdraw(keys, generation)

    def _arguments(self) -> tuple[str, ...]:
        """Names of host files, which only a native device model can open."""
        if not self.request.native:
            return ()
        images = image_files(self.request.config, self.request.platform)
        if self.request.boot is BootMethod.FIRMWARE:
            named = ((_OPTIONS[image.role], os.path.abspath(image.path)) for image in images)
            return tuple(word for pair in named for word in pair)
        kernel, *modules = images
        words = ["-kernel", os.path.abspath(kernel.path)]
        for module in modules:
            words += ["-initrd", os.path.abspath(module.path)]
        if any(module.arguments for module in modules):
            # One word, or arguments that start with a dash would be taken for an option.
            words += [f"--initrd-arguments={module.arguments}" for module in modules]
        return tuple(words)

    async def _prepare(self, generation: int, places: Sequence[GpaRange]) -> bytes:
        """Images loaded, or what was damaged of them loaded again; the frame that says so."""
        await self._load(places)
        assert self.loaded is not None
        request, e820 = self.request, self.guest.memory.e820
        descriptor = Descriptor(
            platform=request.platform,
            e820=e820,
            reserved=reservations(request.platform, e820),
            insert=request.machine.insert,
            rom_window=ROM_WINDOW,
            boot=request.boot,
            cmdline=os.fsencode(request.config.cmdline or ""),
            images=self.loaded.images,
            entry=request.entry,
            subarch=request.subarch,
        )
        frame = encode_descriptor(descriptor, generation)
        self.progress.published(descriptor, frame)
        return frame

    async def _load(self, places: Sequence[GpaRange]) -> None:
        """All images, or those of them that an earlier attempt left damaged."""
        before = self.loaded.images if self.loaded is not None else ()
        count = len(self.opened)
        ram = self.guest.memory.ram

        def report(role: Role, done: int, total: int) -> None:
            trio.from_thread.check_cancelled()
            self.progress.loading(role, done, total)

        def work() -> tuple[StagedImage, ...]:
            stale = damaged(self.loaded, ram) if self.loaded is not None else range(count)
            fresh = load(
                [self.opened[index] for index in stale],
                [places[index] for index in stale],
                ram,
                self.request.load_method,
                report,
            )
            images = dict(enumerate(before)) | dict(zip(stale, fresh.images, strict=True))
            return tuple(images[index] for index in range(count))

        self.loaded = Loaded(await trio.to_thread.run_sync(work))
        for image in self.loaded.images:
            self.progress.stage(
                "toolstack",
                "loaded",
                f"{image.role.value} {size_text(image.range.size)} at {image.range}",
            )

    async def _publish(self, keys: HandoffKeys, generation: int, frame: bytes) -> None:
        request = self.request
        in_memory = None
        if request.carrier is Carrier.MEMORY:
            guest_memory = self.guest.memory
            guest_memory.populate(GpaRange(memory.KNOWN_LOCATION, len(frame)))
            in_memory = memory.store(frame, guest_memory.ram)
        assert self.loaded is not None
        await self.host.store.write_all(
            offer_writes(keys, generation, request.carrier, frame, in_memory, self.loaded.images)
        )
        self.progress.stage(
            "toolstack",
            "published",
            f"generation {generation}, carrier {request.carrier.value}, {len(frame)} bytes",
        )

    async def _withdraw(self, keys: HandoffKeys, generation: int) -> None:
        with (
            trio.move_on_after(CLEAN_UP_S, shield=True),
            suppress(XenstoreError, XenstoreUnavailable),
        ):
            await self.host.store.write_all((withdrawal(keys, generation),))
