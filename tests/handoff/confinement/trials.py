"""Runs a trial process and gives back what it saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from handoff.confinement import Layer, Profile

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
DEADLINE_S = 60
USER = 61_001  # who is not root; no account is needed


@dataclass(frozen=True, slots=True)
class Trial:
    """Each attempt's errno before and after confinement, 0 where it got through."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    states: Mapping[str, str]
    details: Mapping[str, str]


def run_trial(
    attempts: Iterable[str],
    layers: Iterable[Layer],
    *,
    profile: Profile = Profile.DEVICE_MODEL,
    uid: int | None = None,
    address_space_bytes: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Trial:
    """What `attempts` came to without and with `layers`, in a process of its own.

    uid: who starts it where the tests run as root; None leaves it root.
    """
    order = {
        "attempts": list(attempts),
        "layers": [layer.name for layer in layers],
        "profile": profile.name,
        "uid": uid,
        "address_space_bytes": address_space_bytes,
    }
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        done = run_python(
            ["-m", "tests.handoff.confinement.trial", json.dumps(order)],
            environment={"TMPDIR": directory, **(environment or {})},
        )
    assert done.returncode == 0, done.stderr
    seen, *after = map(json.loads, done.stdout.splitlines())
    # A program that was executed wrote nothing more.
    return Trial(**seen, after=after[0] if after else dict.fromkeys(seen["before"], 0))


def run_python(
    arguments: Iterable[str], *, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A Python process of its own, in a session of its own, ended at the deadline."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**ENVIRONMENT, **(environment or {})},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        start_new_session=True,
        check=False,
    )
