from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from handoff.guest_ram import regions_for
from handoff.platforms import Platform, low_ram_limit, memory_map
from tests.benchmarks.programs import FOLDER
from toolstack.machine.port import Hardware
from toolstack.machine.qemu.arguments import Descriptors, arguments

MEMORY_MIB = 256


@pytest.fixture
def plain_qemu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("plain_qemu", FOLDER / "plain_qemu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plain_qemu", module)
    spec.loader.exec_module(module)
    return module


def toolstacks_words() -> list[str]:
    size = MEMORY_MIB << 20
    limit = low_ram_limit(Platform.QEMU_PC, size)
    hardware = Hardware("web", 3, regions_for(size, limit), size, memory_map(size, limit))
    accelerator = ("-accel", "tcg,thread=multi")
    return list(arguments(hardware, Descriptors(3, 4, None, ()), accelerator))


def test_plain_qemu_has_every_device_of_the_toolstacks_and_no_part_of_the_handoff(
    plain_qemu: ModuleType,
) -> None:
    ours = toolstacks_words()

    plain = plain_qemu.without_handoff(ours)

    missing = [word for word in ours if word not in plain]
    assert [word for word in missing if word.startswith("-")] == [
        "-sandbox",
        "-object",
        "-mon",
        "-S",
    ]
    assert [word for word in plain if word not in ours] == ["pc,usb=off,vmport=off,hpet=off"]


@pytest.mark.parametrize("option", ["-S", "-sandbox", "-object", "-mon"])
def test_an_option_that_is_no_longer_there_to_be_dropped_is_noticed(
    option: str, plain_qemu: ModuleType
) -> None:
    ours = toolstacks_words()
    ours[ours.index(option)] = "-renamed"

    with pytest.raises(ValueError, match="the toolstack's QEMU has"):
        plain_qemu.without_handoff(ours)


def test_the_guests_files_and_command_line_come_last_as_they_are(plain_qemu: ModuleType) -> None:
    command = plain_qemu.command(Path("/k"), Path("/i"), "quiet a,b -x", MEMORY_MIB)

    assert command[0] == "qemu-system-x86_64"
    assert command[-6:] == ("-kernel", "/k", "-initrd", "/i", "-append", "quiet a,b -x")
    assert f"size={MEMORY_MIB << 20}B" in command
