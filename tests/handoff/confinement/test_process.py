"""A confined process does not outlive the one that started it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.handoff.confinement.trials import DEADLINE_S, ENVIRONMENT, ROOT, run_python

# Says that it is ready, waits to be orphaned, and says so if it is still there then.
CHILD = """
import os, sys, time
from handoff.confinement import *
parent = os.getppid()
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2), parent_pid=parent,
                   without=set(Layer) - {set(LAYERS)})
confine(prepared, Profile.DEVICE_MODEL)
print("ready", flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
time.sleep(0.3)  # the signal follows the change of parent
print("outlived", flush=True)
"""

# Starts the child, and ends without another word when it is told to.
PARENT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.DEVNULL)
os.read(0, 1)
os._exit(0)
"""


def last_words(layers: str) -> list[str]:
    """What a child says until it ends, its parent having ended before.

    Parent and child alone hold the pipe: its end of file is the end of both.
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD.replace("{set(LAYERS)}", f"set({layers})")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd=ROOT,
        text=True,
    )
    with parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        ready = parent.stdout.readline().strip()
        said, _ = parent.communicate("x", timeout=DEADLINE_S)
    return [ready, *said.split()]


def test_the_child_is_killed_when_its_parent_ends() -> None:
    assert last_words("{Layer.PARENT_DEATH}") == ["ready"]


def test_without_that_layer_the_child_goes_on() -> None:
    assert last_words("") == ["ready", "outlived"]


def test_all_layers_together_keep_the_signal() -> None:
    # A change of ids after the request would make the kernel forget it.
    assert last_words("Layer") == ["ready"]


@pytest.mark.parametrize("mode", ["AUTO", "STRICT"])
def test_a_parent_that_is_gone_already_is_noticed(mode: str) -> None:
    script = f"""
import os
from handoff.confinement import *
prepared = prepare(mode=Mode.{mode}, keep_fds=(0, 1, 2), parent_pid=os.getppid() + 1)
try:
    confine(prepared, Profile.DEVICE_MODEL)
except ConfinementError as error:
    print(error)
"""
    done = run_python(["-c", script])
    here = os.getpid()
    assert done.stdout == (
        f"parent process {here + 1} is gone (now {here}): a confined process does not outlive"
        " the one that started it\n"
    )
