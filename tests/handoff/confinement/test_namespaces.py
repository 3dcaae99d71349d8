"""The root directory of a confined process is empty and cannot be filled."""

from __future__ import annotations

from tests.handoff.confinement.trials import run_python

SCRIPT = """
import errno, os
from handoff.confinement import *
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2),
                   without=set(Layer) - {Layer.USER_NAMESPACE, Layer.MOUNT_NAMESPACE})
report = confine(prepared, Profile.DEVICE_MODEL)
print(report.outcome(Layer.MOUNT_NAMESPACE).state.name)
print(os.listdir("/"), os.listdir("/.."), os.getcwd())
for attempt in (lambda: os.mkdir("/x"), lambda: os.mknod("/x"), lambda: os.chmod("/", 0o777)):
    try:
        attempt()
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_the_root_is_empty_and_read_only() -> None:
    done = run_python(["-c", SCRIPT])
    assert done.stderr == ""
    state, *rest = done.stdout.splitlines()
    if state == "APPLIED":
        assert rest == ["[] [] /", "EROFS", "EROFS", "EROFS"]
    else:
        assert rest
