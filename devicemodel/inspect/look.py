"""Looks at an image: every answer is a result or a refusal of the stages that would boot it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from devicemodel.images.auto import Kernel
from devicemodel.images.firmware import FirmwareImages
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.multiboot import MultibootKernel
from devicemodel.inspect.fields import chosen_by, fields_of, what_it_is
from devicemodel.inspect.findings import Alternative, Findings, Image, Refusal, Setting
from devicemodel.inspect.question import Question, found, planned, verified
from devicemodel.place import Plan
from devicemodel.verify import Verified
from handoff.addresses import GIB, MIB
from handoff.descriptor import BootMethod, EntryMode, Subarch
from handoff.errors import HandoffError
from handoff.guest_ram import GuestRam
from handoff.platforms import MEMORY_MIN_BYTES, Platform

T = TypeVar("T")

MEMORY_MIN_MIB = MEMORY_MIN_BYTES // MIB
_LEAST_LIMIT_MIB = 3 * GIB // MIB
"""Up to here all memory lies below the hole, on each platform: what fits in a guest fits in every
larger one."""


def inspect(question: Question, ram: GuestRam) -> Findings:
    """What would be done. A refusal is an answer, too.

    ram: of `no_guest`. Raises: DescriptorRefused for a guest that cannot be.
    """
    return _Look(question, ram).findings()


@dataclass(frozen=True, slots=True)
class _Look:
    question: Question
    ram: GuestRam

    def findings(self) -> Findings:
        guest = found(self.question, self.ram).guest
        setting = Setting(
            self.question.platform, self.question.memory_mib, guest.low_ram_end, guest.reserved
        )
        image = _or_refusal(lambda: verified(self.question, self.ram))
        if isinstance(image, Refusal):
            return Findings(setting, self._refused(), image, tuple(self._other_methods(None)), None)
        outcome = _or_refusal(lambda: planned(self.question, image, self.ram))
        return Findings(
            setting,
            self._image(image.kernel),
            outcome,
            tuple(self._alternatives(image)),
            self._least_memory(image),
        )

    @property
    def _is_kernel(self) -> bool:
        return self.question.boot is not BootMethod.FIRMWARE

    def _refused(self) -> Image:
        file = self.question.subject
        return Image(_name(file.name), file.size, None, "nothing that can be started", "", ())

    def _image(self, kernel: Kernel | FirmwareImages) -> Image:
        file = self.question.subject
        return Image(
            _name(file.name),
            file.size,
            _method(kernel),
            what_it_is(kernel, file),
            chosen_by(kernel),
            fields_of(kernel, file),
        )

    def _alternatives(self, image: Verified) -> Iterator[Alternative]:
        yield from self._other_methods(_method(image.kernel))
        if isinstance(image.kernel, LinuxKernel):
            for entry in EntryMode:
                if entry not in (EntryMode.AUTO, _entry(self.question.entry)):
                    yield self._with(f"--entry {entry.value}", image, entry=entry)
            if self.question.subarch is not Subarch.XEN:
                yield self._with("--subarch xen", image, subarch=Subarch.XEN)
        for platform in Platform:
            if platform is not self.question.platform and self._is_kernel:
                yield self._with(f"--platform {platform.value}", image, platform=platform)
        if self.question.memory_mib > MEMORY_MIN_MIB:
            yield self._with(f"--memory {MEMORY_MIN_MIB}", image, memory_mib=MEMORY_MIN_MIB)

    def _other_methods(self, chosen: BootMethod | None) -> Iterator[Alternative]:
        # Firmware is other files than a kernel.
        left_out = (BootMethod.AUTO, BootMethod.FIRMWARE, chosen, self.question.boot)
        for method in BootMethod:
            if method in left_out or not self._is_kernel:
                continue
            other = replace(self.question, boot=method, entry=EntryMode.AUTO, subarch=Subarch.PC)
            outcome = _or_refusal(partial(self._from_the_file, other))
            yield Alternative(f"--boot {method.value}", _told(outcome))

    def _from_the_file(self, question: Question) -> Plan:
        return planned(question, verified(question, self.ram), self.ram)

    def _with(self, option: str, image: Verified, **changed: object) -> Alternative:
        """The same image, which was parsed already, with one thing changed."""
        other = replace(self.question, **changed)  # type: ignore[arg-type]
        return Alternative(option, _told(_or_refusal(lambda: planned(other, image, self.ram))))

    def _least_memory(self, image: Verified) -> int | None:
        def fits(memory_mib: int) -> bool:
            other = replace(self.question, memory_mib=memory_mib)
            return not isinstance(_or_refusal(lambda: planned(other, image, self.ram)), Refusal)

        least, enough = MEMORY_MIN_MIB - 1, _LEAST_LIMIT_MIB
        if not fits(enough):
            return None
        while enough - least > 1:
            middle = (least + enough) // 2
            if fits(middle):
                enough = middle
            else:
                least = middle
        return enough


def _or_refusal(ask: Callable[[], T]) -> T | Refusal:
    try:
        return ask()
    except HandoffError as error:
        return Refusal.of(error)


def _told(outcome: Plan | Refusal) -> str | Refusal:
    return outcome if isinstance(outcome, Refusal) else outcome.method


def _method(kernel: Kernel | FirmwareImages) -> BootMethod:
    if isinstance(kernel, LinuxKernel):
        return BootMethod.LINUX
    if isinstance(kernel, FirmwareImages):
        return BootMethod.FIRMWARE
    return BootMethod.MULTIBOOT if isinstance(kernel, MultibootKernel) else BootMethod.PVH


def _entry(asked: EntryMode) -> EntryMode:
    """AUTO is real mode."""
    return EntryMode.REAL if asked is EntryMode.AUTO else asked


def _name(name: bytes) -> str:
    return name.decode("utf-8", "replace")
