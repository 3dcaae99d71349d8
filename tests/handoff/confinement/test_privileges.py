"""Nobody becomes root, or nobody at all."""

from __future__ import annotations

import json
import os

import pytest

from handoff.confinement import Identity
from tests.handoff.confinement.trials import run_python


@pytest.mark.parametrize("bad", [0, -1, 0xFFFF_FFFF])
def test_an_identity_is_unprivileged(bad: int) -> None:
    with pytest.raises(ValueError, match=f"uid {bad} is not an unprivileged id"):
        Identity(uid=bad)
    with pytest.raises(ValueError, match=f"gid {bad} is not an unprivileged id"):
        Identity(gid=bad)


STATUS = """
import json
from handoff.confinement import *
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2),
                   without=set(Layer) - {Layer.IDENTITY, Layer.CAPABILITIES, Layer.NO_NEW_PRIVS})
confine(prepared, Profile.DEVICE_MODEL, identity=Identity(uid=61002, gid=61003))
with open("/proc/thread-self/status") as status:
    print(json.dumps(dict(line.rstrip("\\n").split(":\\t", 1) for line in status)))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs to start as root")
def test_ids_groups_and_all_five_capability_sets_are_what_the_kernel_says() -> None:
    status = json.loads(run_python(["-c", STATUS]).stdout)
    assert status["Uid"].split() == ["61002"] * 4
    assert status["Gid"].split() == ["61003"] * 4
    assert status["Groups"].strip() == ""
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {int(status[name], 16) for name in sets} == {0}
    assert status["NoNewPrivs"] == "1"
