"""The stages as they are done one after the other: each takes the result of the one before."""

from __future__ import annotations

from devicemodel.discover import Discovered, HostFiles, discover
from devicemodel.insert import Inserted, insert
from devicemodel.move import Moved, move
from devicemodel.place import Placed, place
from devicemodel.ready import Ready, ready, report
from devicemodel.verify import Verified, verify
from handoff.guest_ram import GuestRam
from handoff.report import Report
from handoff.stages import Stage

Result = Discovered | Verified | Placed | Moved | Inserted | Ready


class StageWork:
    """Does the stages of one offer in guest RAM, and remembers only the last result."""

    def __init__(self, ram: GuestRam, native: HostFiles | None) -> None:
        self._ram = ram
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
                self._last = place(verified)
            case Placed() as placed if stage is Stage.MOVED:
                self._last = move(placed, self._ram)
            case Moved() as moved if stage is Stage.INSERTED:
                self._last = insert(moved, self._ram)
            case Inserted() as inserted if stage is Stage.READY:
                self._last = ready(inserted, self._ram)
            case _:
                raise AssertionError(f"{stage} does not follow {type(self._last).__name__}")

    def report(self) -> Report:
        """What was done; to be asked for between INSERTED and READY."""
        assert isinstance(self._last, Inserted), self._last
        return report(self._last)
