"""A process that is launched has nothing but what it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from handoff.confinement import spawn
from tests.handoff.confinement.trials import DEADLINE_S

PROBE = """
import json, os
fds = [fd for fd in range(100) if os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps([dict(os.environ), os.getcwd(), fds, os.getsid(0) == os.getpid()]))
"""


def test_environment_directory_and_descriptors_are_clean() -> None:
    leak, given = os.pipe()
    os.set_inheritable(leak, True)
    try:
        process = spawn(
            [sys.executable, "-I", "-c", PROBE], pass_fds=[given], stdout=subprocess.PIPE
        )
        with process:
            out, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        os.close(leak)
        os.close(given)
    environment, directory, fds, leads_session = json.loads(out)
    environment.pop("LC_CTYPE", None)  # Python's own choice for itself in the C locale
    assert environment == {}
    assert directory == "/"
    assert fds == [0, 1, 2, given]
    assert leads_session
