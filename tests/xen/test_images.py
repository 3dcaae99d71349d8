"""On a real Xen, too, a kernel may be no Linux, be entered otherwise, or have RAM above 4 GiB."""

from __future__ import annotations

import secrets

import pytest

from handoff.addresses import FOUR_GIB, MIB
from tests.xen.guest import BALLAST, CMDLINE
from tests.xen.images import WITNESS
from tests.xen.play import Play
from tests.xen.scenarios import images
from tests.xen.test_handoff import DEADLINE_S, said
from toolstack.builtin_guest import INITRD

pytestmark = pytest.mark.xen


def test_a_multiboot_kernel_finds_its_command_line_and_its_module(play: Play) -> None:
    word = secrets.token_hex(8)
    ended = play(images.boots_by_multiboot, deadline_s=DEADLINE_S, kernel=WITNESS, cmdline=word)
    assert ended["status"] == 0, ended
    assert f"{WITNESS} {word}".encode().hex() in ended["console"]
    assert INITRD.hex() in ended["console"]


def test_a_guest_with_ram_above_4_gib_boots_at_the_second_attempt(play: Play) -> None:
    token = secrets.token_hex(8)
    ended = play(images.boots_beyond_the_hole, deadline_s=DEADLINE_S, token=token)
    assert ended["status"] == 0, ended
    assert f"token={token}" in said(ended["console"], CMDLINE).split()
    assert said(ended["console"], BALLAST) == ended["sent"]

    low_end, end = low_and_high_end(ended["console"])
    assert low_end < 256 * MIB
    assert end == FOUR_GIB + 256 * MIB
    offers = [each for each in ended["told"] if each["event"] == "published"]
    assert len(offers) == 2, ended
    for image in offers[-1]["images"]:
        assert image["start"] + image["size"] <= low_end, offers
    warned = [each["text"] for each in ended["told"] if each["event"] == "warning"]
    assert [text.startswith("attempt 1 failed (") for text in warned] == [True], warned
    assert "ends in its first attempt" in warned[0]


def low_and_high_end(console: list[str]) -> tuple[int, int]:
    """Where the guest's RAM below 4 GiB ends, and that above, as it told."""
    told = [line.partition(images.SYSTEM_RAM)[2] for line in console if images.SYSTEM_RAM in line]
    ends = sorted(int(each.strip().partition("-")[2], 16) + 1 for each in told)
    return max(end for end in ends if end <= FOUR_GIB), ends[-1]
