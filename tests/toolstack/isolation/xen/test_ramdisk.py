"""The hostile program takes the device model's place in any initramfs, and brings what it needs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from toolstack.isolation.stubdom.order import OPTION
from toolstack.isolation.xen.ramdisk import ENVIRONMENT, FOLDER, entries, hostile_ramdisk


def unpacked(root: Path) -> Path:
    for entry in entries():
        path = root / entry.name
        if stat.S_ISDIR(entry.mode):
            path.mkdir()
        else:
            path.write_bytes(entry.content)
    return root


def test_what_is_started_as_the_device_model_is_the_hostile_program(tmp_path: Path) -> None:
    unpacked(tmp_path)
    name, _, folder = ENVIRONMENT.partition("=")
    done = subprocess.run(
        (sys.executable, "-m", "devicemodel", "-xen-domid", "7", "--offer-timeout", "9"),
        env={**os.environ, name: f"{tmp_path}{folder}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"required: {OPTION}" in done.stderr


def test_what_it_imports_of_the_toolstack_is_all_its_own(tmp_path: Path) -> None:
    unpacked(tmp_path)
    where = f"import sys; sys.path.insert(0, {str(tmp_path / FOLDER)!r})"
    shown = "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('toolstack')))"
    done = subprocess.run(
        (sys.executable, "-c", f"{where}; import toolstack.isolation.stubdom.hostile; {shown}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    files = done.stdout.split()
    assert len(files) > 10, done.stderr
    assert all(file.startswith(str(tmp_path)) for file in files), files


def test_the_operators_initramfs_follows_untouched_where_linux_looks_for_it() -> None:
    own = b"\x02\x21\x4c\x18 packed"
    whole = hostile_ramdisk(own)
    assert whole.endswith(own)
    assert (len(whole) - len(own)) % 4 == 0
