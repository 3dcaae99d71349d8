"""Two guests at a time on a real Xen: neither meets anything of the other's."""

from __future__ import annotations

import re
import secrets

import pytest

from tests.xen.guest import BALLAST, CMDLINE
from tests.xen.play import Play
from tests.xen.scenarios import together
from tests.xen.test_handoff import DEADLINE_S, said

pytestmark = pytest.mark.xen


def test_two_guests_boot_at_a_time_and_each_gets_its_own(play: Play) -> None:
    words = {"in dom0": secrets.token_hex(8), "in a stub domain": secrets.token_hex(8)}
    found = play(
        together.two_guests,
        deadline_s=DEADLINE_S,
        in_dom0=words["in dom0"],
        in_stubdom=words["in a stub domain"],
    )
    for where, word in words.items():
        ended = found["ended"][where]
        assert ended["status"] == 0, found
        assert word in said(ended["console"], CMDLINE).split()
        assert said(ended["console"], BALLAST) == found["sent"][where]

    (in_dom0, dom0_reads), (stubdom, stubdom_reads) = offers(found["offered"])
    assert in_dom0.startswith("/local/domain/0/direct-boot/")
    assert dom0_reads == "n0,r0"
    assert stubdom_reads == f"n0,r{stubdom.split('/')[3]}"


def offers(nodes: list[str]) -> list[tuple[str, str]]:
    """Where something is offered, sorted, and who may read what of the ramdisk."""
    found = [re.fullmatch(r"(/\S+)/images/1/digest = \S+ +\((\S+)\)", line) for line in nodes]
    return sorted((match[1], match[2]) for match in found if match)
