from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devicemodel.bios_extension.rom import check_rom, rom_image
from handoff.errors import MachineError
from toolstack.xen.option_rom import option_rom


def test_the_file_is_the_rom_that_the_device_model_would_write() -> None:
    content = option_rom().read_bytes()
    assert content == rom_image()
    check_rom(content)


def test_nothing_of_the_device_model_is_imported_for_it() -> None:
    code = (
        "import sys; from toolstack.xen.option_rom import option_rom; option_rom();"
        "assert not [name for name in sys.modules if name.startswith('devicemodel')]"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


def test_a_host_without_our_device_model_is_refused() -> None:
    with pytest.raises(MachineError, match="no Python package no_such_device_model"):
        option_rom("no_such_device_model")


def test_an_installation_without_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_a_device_model").mkdir()
    (tmp_path / "half_a_device_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MachineError, match=r"no option ROM at .*/half_a_device_model/bios_ext"):
        option_rom("half_a_device_model")
