"""What goes wrong on a real Xen is told as in the simulation, and nothing of it stays."""

from __future__ import annotations

import pytest

from handoff.errors import DeviceModelDied, HandoffError, StageTimeout
from tests.xen.play import Play
from tests.xen.scenarios import bad_device_model

pytestmark = pytest.mark.xen

DEADLINE_S = 600.0
AWAITED = "the device model to discover the offer (direct-boot/state)"


def test_a_device_model_that_never_comes_up_is_told_as_that(play: Play) -> None:
    ended = play(bad_device_model.all_of_them, deadline_s=DEADLINE_S)
    expected: dict[str, tuple[type[HandoffError], str]] = {
        "stub domain sleeps": (
            StageTimeout,
            f"nothing after 15 s while waiting for {AWAITED} (its last words: init sleeps)",
        ),
        "stub domain returns": (DeviceModelDied, "Kernel panic - not syncing: Attempted to kill"),
        "stub domain loses its device model": (
            DeviceModelDied,
            "its last words: device model exited with 137) while",
        ),
        "process is killed": (DeviceModelDied, "the device model ended (killed by SIGKILL) while"),
        "process returns": (DeviceModelDied, "the device model ended (exit status 7) while"),
    }
    assert set(ended) == set(expected)
    for case, (error, words) in expected.items():
        failed = ended[case]["told"][-1]
        assert failed["event"] == "failed", ended[case]
        assert (failed["kind"], failed["exit_code"]) == (error.kind, error.exit_code), failed
        assert ended[case]["status"] == error.exit_code
        assert words in failed["text"], failed
        assert AWAITED in failed["text"], failed
