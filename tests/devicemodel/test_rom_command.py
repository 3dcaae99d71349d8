"""`devicemodel rom` writes the one ROM there is."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from devicemodel.bios_extension.rom import rom_image
from handoff.errors import ConfigError

COMMAND = [sys.executable, "-m", "devicemodel", "rom"]


def refusal(stdout: int, *words: str) -> tuple[int, str]:
    """Exit code and what is said."""
    done = subprocess.run([*COMMAND, *words], stdout=stdout, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


def test_standard_output_is_the_rom_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (rom_image(), b"")


def test_a_terminal_is_spared_the_bytes() -> None:
    ours, terminal = pty.openpty()
    try:
        code, said = refusal(terminal)
    finally:
        os.close(ours)
        os.close(terminal)
    assert code == ConfigError.exit_code
    assert "redirect it into a file" in said


def test_a_full_disk_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, said = refusal(full)
    finally:
        os.close(full)
    assert code == ConfigError.exit_code
    assert said == "cannot write the ROM: No space left on device: name another file\n"


def test_there_is_nothing_to_choose() -> None:
    code, said = refusal(subprocess.DEVNULL, "0x1f0000")
    assert code == 2
    assert "unrecognized arguments: 0x1f0000" in said
