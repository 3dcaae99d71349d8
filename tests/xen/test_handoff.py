"""The same core on a real Xen: the ports keep their promises, and a guest boots by our handoff."""

from __future__ import annotations

import secrets
import zlib

import pytest

from handoff.errors import HypervisorError
from tests.xen.guest import BALLAST, CMDLINE
from tests.xen.play import Play
from tests.xen.scenarios import handoff
from toolstack.builtin_guest import INITRD

pytestmark = pytest.mark.xen

DEADLINE_S = 600.0
"""Of a scenario; one takes about a minute where nothing else runs."""


def said(console: list[str], word: str) -> str:
    """What the guest said behind this word."""
    lines = [line.partition(word)[2] for line in console if word in line]
    assert len(lines) == 1, console
    return lines[0].strip()


def test_the_ports_keep_their_promises(play: Play) -> None:
    told = play(handoff.holds_the_contracts, deadline_s=DEADLINE_S)
    assert told.rstrip().endswith("contract: 0 broken"), told
    assert told.count("contract: ok ") > 20, told


@pytest.mark.parametrize("in_a_stub_domain", [False, True], ids=["in dom0", "in a stub domain"])
def test_a_guest_boots_by_our_handoff_wherever_the_device_model_is(
    play: Play, in_a_stub_domain: bool
) -> None:
    token = secrets.token_hex(8)
    ended = play(
        handoff.boots_by_our_handoff,
        deadline_s=DEADLINE_S,
        token=token,
        in_a_stub_domain=in_a_stub_domain,
    )
    assert ended["status"] == 0, ended
    assert f"token={token}" in said(ended["console"], CMDLINE).split()
    assert said(ended["console"], BALLAST) == ended["sent"]


@pytest.mark.parametrize("stage", ["created", "unpaused"])
def test_a_domain_that_somebody_else_destroys_is_told_as_that(play: Play, stage: str) -> None:
    ended = play(handoff.ends_with_its_domain, deadline_s=DEADLINE_S, stage=stage)
    failed = ended["told"][-1]
    assert ended["status"] == failed["exit_code"], ended
    # How far the boot comes until the domain is gone, is the processor's business.
    kinds = {"created": {"hypervisor", "machine"}, "unpaused": {"machine"}}
    assert failed["kind"] in kinds[stage], ended
    assert "is gone" in failed["text"] or "was destroyed" in failed["text"], ended


def test_a_kernel_for_1_mib_is_brought_there_over_hvmloader(play: Play) -> None:
    token = secrets.token_hex(8)
    ended = play(handoff.boots_over_hvmloader, token=token)
    assert ended["status"] == 0, ended
    assert said(ended["console"], "runs at ") == "0x00100000"
    assert said(ended["console"], "command line ").endswith(f": token={token}")
    assert said(ended["console"], "initrd  ").endswith(f"CRC-32 {zlib.crc32(INITRD):#010x}")


def test_what_xl_refuses_is_told_in_its_words(play: Play) -> None:
    ended = play(handoff.refuses_what_xl_refuses)
    assert ended["status"] == HypervisorError.exit_code, ended
    assert "`xl create` failed" in ended["told"][-1]["text"]
