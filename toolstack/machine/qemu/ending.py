"""Why a QEMU ended, from its last events and its exit status."""

from __future__ import annotations

import signal

from handoff.errors import printable
from toolstack.machine.port import EndReason, MachineEnd
from toolstack.machine.qemu.qmp.protocol import Event

DETAIL_MAX_CHARACTERS = 300

_SHUTDOWN_REASONS = {
    "guest-shutdown": EndReason.POWERED_OFF,
    "guest-reset": EndReason.RESET,
    "guest-panic": EndReason.CRASHED,
    "host-error": EndReason.CRASHED,
    "host-signal": EndReason.KILLED,
    "host-qmp-quit": EndReason.KILLED,
    "host-qmp-system-reset": EndReason.KILLED,
    "host-ui": EndReason.KILLED,
}
"""ShutdownCause of QEMU's QAPI schema; what is not here counts as a crash."""

_DETAILS = {
    "guest-shutdown": "the guest powered off",
    "guest-reset": "the guest reset: it rebooted, triple-faulted, or found nothing to boot",
    "guest-panic": "the guest's kernel panicked; its console says why",
}


def shutdown_end(event: Event) -> MachineEnd | None:
    """How the machine ends after `event`, None if it does not end."""
    if event.name != "SHUTDOWN":
        return None
    cause = event.data.get("reason")
    if not isinstance(cause, str):
        return MachineEnd(EndReason.CRASHED, "QEMU shut down without a reason")
    reason = _SHUTDOWN_REASONS.get(cause, EndReason.CRASHED)
    detail = _DETAILS.get(cause, f"QEMU shut down: {cause}")
    return MachineEnd(reason, printable(detail, DETAIL_MAX_CHARACTERS))


def exit_end(status: int, last_words: str) -> MachineEnd:
    """How the machine ended when QEMU gave no reason before it went.

    status: exit status, negative for the signal that killed it.
    """
    reason = EndReason.KILLED if status == -signal.SIGKILL else EndReason.CRASHED
    return MachineEnd(reason, exit_text(status, last_words))


def exit_text(status: int, last_words: str) -> str:
    """One line: exit status or signal, and what QEMU said last."""
    if status < 0:
        ended = f"QEMU was killed by {_signal_name(-status)}"
    else:
        ended = f"QEMU exited with status {status}"
    text = f"{ended}: {last_words}" if last_words else ended
    return printable(text, DETAIL_MAX_CHARACTERS)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
