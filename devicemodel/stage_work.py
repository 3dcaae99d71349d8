"""The stages as they are done one after the other: each takes the result of the one before."""

from __future__ import annotations

from devicemodel.discover import Discovered, Native, discover
from devicemodel.fw_cfg.device import PORTS, FwCfg
from devicemodel.fw_cfg.items import machine_items
from devicemodel.fw_cfg.option_roms import OptionRoms
from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.insert import Inserted, insert
from devicemodel.io_dispatch import IoDispatch
from devicemodel.move import Moved, move
from devicemodel.place import Placed, place
from devicemodel.ready import ready, report
from devicemodel.verify import Verified, verify
from handoff.guest_ram import GuestRam
from handoff.report import Report
from handoff.stages import Stage

VCPUS = 1
"""Of every guest here: the machines of this release have one."""

Result = Discovered | Verified | Placed | Moved | Inserted | IoDispatch


class StageWork:
    """Does the stages of one offer in guest RAM, and remembers only the last result; of READY, the
    devices that the guest will ask."""

    def __init__(
        self, ram: GuestRam, native: Native | None, roms: OptionRoms | None = None
    ) -> None:
        """roms: QEMU's option ROMs, if they are to start the guest."""
        self._ram = ram
        self._roms = roms
        self._native = native
        self._last: Result | None = None

    def discover(self, frame: bytes, generation: int) -> None:
        """Raises: DescriptorRefused."""
        assert self._last is None
        self._last = discover(frame, generation, self._ram, self._native)

    def run(self, stage: Stage) -> None:
        """Does `stage`. Raises: the HandoffError of that stage."""
        match self._last:
            case Discovered() as found if stage is Stage.VERIFIED:
                self._last = verify(found, self._ram)
            case Verified() as verified if stage is Stage.PLACED:
                self._last = place(verified, self._roms)
            case Placed() as placed if stage is Stage.MOVED:
                self._last = move(placed, self._ram)
            case Moved() as moved if stage is Stage.INSERTED:
                self._last = insert(moved, self._ram)
            case Inserted() as inserted if stage is Stage.READY:
                ready(inserted, self._ram)
                # What the kernel was unpacked to is not needed any more, and let go of.
                self._last = self._devices_of(inserted.moved.placed)
            case _:
                raise AssertionError(f"{stage} does not follow {type(self._last).__name__}")

    def devices(self) -> IoDispatch:
        """The devices that the guest finds here; to be asked for after READY."""
        assert isinstance(self._last, IoDispatch), self._last
        return self._last

    def report(self) -> Report:
        """What was done; to be asked for between INSERTED and READY."""
        assert isinstance(self._last, Inserted), self._last
        return report(self._last)

    def _devices_of(self, placed: Placed) -> IoDispatch:
        dispatch = IoDispatch(self._ram)
        if isinstance(placed.plan, FwCfgPlan):
            e820 = placed.verified.found.descriptor.e820
            items = machine_items(e820.ram_bytes(), VCPUS, placed.plan.items)
            dispatch.claim(PORTS, FwCfg(items, self._ram))
        return dispatch
