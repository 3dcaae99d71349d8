from __future__ import annotations

import signal

import pytest

from toolstack.machine.port import EndReason, MachineEnd
from toolstack.machine.qemu.ending import DETAIL_MAX_CHARACTERS, exit_end, shutdown_end
from toolstack.machine.qemu.qmp.protocol import Event


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("guest-shutdown", EndReason.POWERED_OFF),
        ("guest-reset", EndReason.RESET),
        ("guest-panic", EndReason.CRASHED),
        ("host-error", EndReason.CRASHED),
        ("host-signal", EndReason.KILLED),
        ("host-qmp-quit", EndReason.KILLED),
        ("a cause of a later QEMU", EndReason.CRASHED),
    ],
)
def test_cause_of_a_shutdown_decides(cause: str, reason: EndReason) -> None:
    end = shutdown_end(Event("SHUTDOWN", {"guest": True, "reason": cause}))
    assert end is not None
    assert end.reason is reason


@pytest.mark.parametrize("name", ["STOP", "RESUME", "RESET", "GUEST_PANICKED"])
def test_other_events_end_nothing(name: str) -> None:
    assert shutdown_end(Event(name, {"reason": "guest-shutdown"})) is None


@pytest.mark.parametrize("data", [{}, {"reason": 5}, {"reason": ["guest-shutdown"]}])
def test_shutdown_without_a_cause_is_a_crash(data: dict[str, object]) -> None:
    end = shutdown_end(Event("SHUTDOWN", data))
    assert end == MachineEnd(EndReason.CRASHED, "QEMU shut down without a reason")


def test_exit_tells_status_and_last_words() -> None:
    assert exit_end(1, "out of memory") == MachineEnd(
        EndReason.CRASHED, "QEMU exited with status 1: out of memory"
    )


def test_signal_is_named() -> None:
    assert exit_end(-signal.SIGSEGV, "") == MachineEnd(
        EndReason.CRASHED, "QEMU was killed by SIGSEGV"
    )
    assert exit_end(-signal.SIGSYS, "").detail == "QEMU was killed by SIGSYS"
    assert exit_end(-63, "").detail == "QEMU was killed by signal 63"


def test_detail_is_one_short_printable_line() -> None:
    shutdown = shutdown_end(Event("SHUTDOWN", {"reason": "\x1b[2J\n" * 1000}))
    assert shutdown is not None
    for end in (shutdown, exit_end(1, "\x1b[2J\n" * 1000)):
        assert len(end.detail) <= DETAIL_MAX_CHARACTERS
        assert end.detail.isprintable()
