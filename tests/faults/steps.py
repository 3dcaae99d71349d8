"""The steps of the protocol as messages to xenstored: which request is which step."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from tests.faults.victim import Victim
from xenstore_sim.wire.layout import Packet
from xenstore_sim.wire.ops import Op


class RequestStep(Enum):
    """One request of a boot, in the order of a boot without faults."""

    FIRST_REQUEST = "dom0's first request"
    NOTE = "note of the guest"
    GUEST_INTRODUCED = "INTRODUCE of the guest"
    STUBDOM_INTRODUCED = "INTRODUCE of the stub domain"
    TARGET_SET = "SET_TARGET"
    DEVICE_MODEL_SPEAKS = "the device model's first request"
    OFFER_WATCHED = "WATCH of the offer"
    OFFER_WRITTEN = "WRITE of the offer's state"
    OFFER_COMMITTED = "end of the offer's transaction"
    ANSWERS_WATCHED = "WATCH of the answers"
    OFFER_READ = "start of reading the offer"
    DISCOVERED = "WRITE discovered"
    VERIFIED = "WRITE verified"
    PLACED = "WRITE placed"
    MOVED = "WRITE moved"
    REPORT_WRITTEN = "WRITE of the report"
    INSERTED = "WRITE inserted"
    INSERTED_COMMITTED = "end of the report's transaction"
    REPORT_READ = "READ of the report"
    READY = "WRITE ready"
    READY_COMMITTED = "end of ready's transaction"
    RUNNING = "WRITE running"
    WITHDRAWN = "WRITE withdrawn"
    STUBDOM_RELEASED = "RELEASE of the stub domain"
    GUEST_RELEASED = "RELEASE of the guest"
    NOTE_REMOVED = "RM of the guest's note"

    @property
    def speaker(self) -> Victim:
        """Who sends it."""
        return Victim.DEVICE_MODEL if self in _OF_THE_DEVICE_MODEL else Victim.TOOLSTACK

    @property
    def device_model_lives(self) -> bool:
        return self not in _AFTER_THE_DEVICE_MODEL


_OF_THE_DEVICE_MODEL = frozenset(
    {
        RequestStep.DEVICE_MODEL_SPEAKS,
        RequestStep.OFFER_WATCHED,
        RequestStep.OFFER_READ,
        RequestStep.DISCOVERED,
        RequestStep.VERIFIED,
        RequestStep.PLACED,
        RequestStep.MOVED,
        RequestStep.REPORT_WRITTEN,
        RequestStep.INSERTED,
        RequestStep.INSERTED_COMMITTED,
        RequestStep.READY,
        RequestStep.READY_COMMITTED,
        RequestStep.RUNNING,
    }
)
_AFTER_THE_DEVICE_MODEL = frozenset(
    {RequestStep.STUBDOM_RELEASED, RequestStep.GUEST_RELEASED, RequestStep.NOTE_REMOVED}
)
_ANSWERS = {
    b"discovered": RequestStep.DISCOVERED,
    b"verified": RequestStep.VERIFIED,
    b"placed": RequestStep.PLACED,
    b"moved": RequestStep.MOVED,
    b"inserted": RequestStep.INSERTED,
    b"ready": RequestStep.READY,
}


@dataclass(slots=True)
class StepReader:
    """Tells the steps of one connection from its requests."""

    of_dom0: bool
    _first: bool = True
    _counts: dict[int, int] = field(default_factory=dict)
    _commits: dict[int, RequestStep] = field(default_factory=dict)
    """step that the end of this transaction is"""

    def step(self, request: Packet) -> tuple[RequestStep, ...]:
        """The steps that this request is, none for most."""
        steps = []
        if self._first:
            self._first = False
            first = RequestStep.FIRST_REQUEST, RequestStep.DEVICE_MODEL_SPEAKS
            steps.append(first[0 if self.of_dom0 else 1])
        self._counts[request.type] = self._counts.get(request.type, 0) + 1
        found = self._dom0(request) if self.of_dom0 else self._stubdom(request)
        if request.type == Op.TRANSACTION_END:
            found = self._commits.pop(request.tx_id, None)
        return (*steps, found) if found is not None else tuple(steps)

    def _dom0(self, request: Packet) -> RequestStep | None:
        path, _, value = request.payload.partition(b"\0")
        count = self._counts[request.type]
        match request.type:
            case Op.WRITE if path.startswith(b"/tool/stubdom-direct-boot/"):
                return RequestStep.NOTE
            case Op.WRITE if path.endswith(b"/direct-boot/state"):
                if value.endswith(b"withdrawn"):
                    return RequestStep.WITHDRAWN
                self._commits[request.tx_id] = RequestStep.OFFER_COMMITTED
                return RequestStep.OFFER_WRITTEN
            case Op.INTRODUCE:
                both = RequestStep.GUEST_INTRODUCED, RequestStep.STUBDOM_INTRODUCED
                return both[min(count, 2) - 1]
            case Op.SET_TARGET:
                return RequestStep.TARGET_SET
            case Op.WATCH:
                return RequestStep.ANSWERS_WATCHED
            case Op.READ if path.endswith(b"/report/001"):
                return RequestStep.REPORT_READ
            case Op.RELEASE:
                return (RequestStep.STUBDOM_RELEASED, RequestStep.GUEST_RELEASED)[min(count, 2) - 1]
            case Op.RM if path.startswith(b"/tool/stubdom-direct-boot/"):
                return RequestStep.NOTE_REMOVED
        return None

    def _stubdom(self, request: Packet) -> RequestStep | None:
        path, _, value = request.payload.partition(b"\0")
        match request.type:
            case Op.WATCH:
                return RequestStep.OFFER_WATCHED
            case Op.TRANSACTION_START if self._counts[request.type] == 1:
                return RequestStep.OFFER_READ
            case Op.WRITE if path.endswith(b"/report/001"):
                return RequestStep.REPORT_WRITTEN
            case Op.WRITE if value == b"running":
                return RequestStep.RUNNING
            case Op.WRITE if path.endswith(b"/direct-boot/state"):
                step = _ANSWERS.get(value.partition(b" ")[2])
                if step is RequestStep.INSERTED:
                    self._commits[request.tx_id] = RequestStep.INSERTED_COMMITTED
                if step is RequestStep.READY:
                    self._commits[request.tx_id] = RequestStep.READY_COMMITTED
                return step
        return None
