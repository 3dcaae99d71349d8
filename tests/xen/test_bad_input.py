"""What goes wrong on a real Xen is told as in the simulation, and nothing of it stays."""

from __future__ import annotations

import pytest

from handoff.errors import DeviceModelDied, HandoffError, RamAccessError, StageTimeout
from tests.xen.play import Play
from tests.xen.scenarios import bad_device_model, ballooned, killed

pytestmark = pytest.mark.xen

DEADLINE_S = 1200.0
AWAITED = "the device model to discover the offer (direct-boot/state)"


def test_a_device_model_that_never_comes_up_is_told_as_that(play: Play) -> None:
    ended = play(bad_device_model.all_of_them, deadline_s=DEADLINE_S)
    expected: dict[str, tuple[type[HandoffError], str]] = {
        "stub domain sleeps": (
            StageTimeout,
            f"nothing after 10 s while waiting for {AWAITED}",
        ),
        "stub domain returns": (DeviceModelDied, "Kernel panic - not syncing: Attempted to kill"),
        "stub domain loses its device model": (
            DeviceModelDied,
            "its last words: device model exited with 137) while",
        ),
        "process is killed": (DeviceModelDied, "the device model ended (killed by SIGKILL) while"),
    }
    assert set(ended) == set(expected)
    for case, (error, words) in expected.items():
        failed = ended[case]["told"][-1]
        assert failed["event"] == "failed", ended[case]
        assert (failed["kind"], failed["exit_code"]) == (error.kind, error.exit_code), failed
        assert ended[case]["status"] == error.exit_code
        assert words in failed["text"], failed
        assert AWAITED in failed["text"], failed


def test_what_killed_toolstacks_left_is_taken_away_by_cleanup_and_nothing_else(play: Play) -> None:
    found = play(killed.leaves_its_domains_to_cleanup, deadline_s=DEADLINE_S)
    kept = ["alive", "bystander"]
    left = ["building", "published", "published-dm", "unpaused"]
    before, first, after = found["before"], found["first"], found["after"]
    # The xl that the last of them had started builds on, and holds its directory.
    assert found["xl works on"], found
    assert before["domains"] == sorted(kept + left), found
    assert "unpaused" not in before["paused"], found
    assert before["handoffs"] == ["alive", "unpaused"], found
    assert before["directories"] == len(left) + 1, found

    assert first["status"] == 0, found
    assert sum("destroyed domain" in line for line in first["said"]) == len(left), found
    assert after["domains"] == kept, found
    assert (after["handoffs"], after["directories"]) == (["alive"], 1), found
    assert found["second"] == {"status": 0, "said": ["nothing was left behind"]}, found


def test_a_page_that_was_taken_from_the_guest_is_named_wherever_it_is_missed(play: Play) -> None:
    ended = play(ballooned.takes_pages, deadline_s=DEADLINE_S)
    last_stages = {
        "staged, before it is loaded": "created",
        "staged, once it is loaded": "failed",
        "where the kernel goes": "failed",
    }
    assert set(ended) == set(last_stages)
    for case, last_stage in last_stages.items():
        found = ended[case]
        assert found["exit_code"] == RamAccessError.exit_code, found
        assert found["text"].startswith(f"frame {found['frame']:#x} of domain "), found
        for words in ("given back by its balloon (EINVAL; 1 of the ", "create the domain anew"):
            assert words in found["text"], found
        assert found["stages"][-1] == last_stage, found
        # What is staged is missed when it is verified, the kernel's place when it is moved.
        assert ("placed" in found["stages"]) == (case == "where the kernel goes"), found
