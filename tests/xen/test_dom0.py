"""The bed is a real Xen: its dom0 is up, and our client speaks to its xenstored."""

from __future__ import annotations

import pytest

from tests.xen.play import Play
from tests.xen.scenarios import dom0

pytestmark = pytest.mark.xen


def test_dom0_is_up_on_a_xen_that_can_run_hvm_guests(play: Play) -> None:
    shown = play(dom0.looks)
    assert (shown["xen_major"], shown["xen_minor"]) == ("4", "17")
    assert {"pv", "hvm", "hap"} <= set(shown["virt_caps"].split())


def test_our_client_reads_from_the_real_xenstored(play: Play) -> None:
    nodes = play(dom0.reads_xenstore_with_our_client)
    assert nodes == {"/local/domain/0/name": "Domain-0", "/local/domain/0/domid": "0"}
