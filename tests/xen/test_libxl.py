"""What libxl itself does: direct boot with QEMU in dom0, refusals with a stub domain."""

from __future__ import annotations

import secrets

import pytest

from tests.xen.play import Play
from tests.xen.scenarios import hvm

pytestmark = pytest.mark.xen


def test_a_guest_booted_by_libxl_prints_the_command_line_it_was_given(play: Play) -> None:
    token = secrets.token_hex(8)
    said = play(hvm.boots_by_libxl, token=token)
    assert f"token={token}" in said["cmdline"].split()
    assert said["ballast"] == said["sent"]


def test_libxl_refuses_direct_boot_with_the_device_model_of_its_choice(play: Play) -> None:
    answers = play(hvm.answers_to_a_stub_domain)
    assert {name: answer["status"] for name, answer in answers.items()} == dict.fromkeys(answers, 3)
    assert "ioemu-stubdom.gz: No such file" in answers["alone"]["said"]
    assert (
        "HVM direct kernel boot is not supported by qemu-xen-traditional"
        in answers["with files"]["said"]
    )
    assert answers["with files"]["left"] == ["g1-dm"]
    assert "qemu-stubdom-linux-kernel" in answers["qemu-xen"]["said"]
