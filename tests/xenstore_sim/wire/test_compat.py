"""Which operations each release has."""

import pytest

from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, RELEASES, Compat
from xenstore_sim.wire.ops import Op


@pytest.mark.parametrize("compat", [COMPAT_4_17, COMPAT_4_20])
def test_features_and_quotas_on_the_wire_came_later(compat: Compat) -> None:
    later = {Op.GET_FEATURE, Op.SET_FEATURE, Op.GET_QUOTA, Op.SET_QUOTA}
    assert COMPAT_4_22.ops - compat.ops == later


def test_no_release_takes_what_only_daemons_send() -> None:
    assert not {Op.WATCH_EVENT, Op.ERROR} & COMPAT_4_22.ops
    assert all(RELEASES[compat.name] is compat for compat in RELEASES.values())
