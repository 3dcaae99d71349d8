"""`devicemodel inspect` tells what a boot would do: the same plan, the same refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicemodel.inspect.findings import Findings, Refusal
from devicemodel.inspect.json_form import to_json
from devicemodel.inspect.look import inspect
from devicemodel.inspect.question import Question, no_guest
from devicemodel.inspect.steps import placed
from devicemodel.inspect.text import WIDTH, to_text
from devicemodel.place import place
from devicemodel.plan import BootPlan
from devicemodel.verify import verify
from handoff.addresses import MIB
from handoff.descriptor import BootMethod, EntryMode
from handoff.errors import ALL_ERRORS, ConfigError, HandoffError, ImageError, LayoutError
from handoff.platforms import Platform
from handoff.report import When
from tests.builders import FIXED, RAMDISK, RELOCATABLE, BzImage, host_files, noise, poisoned_guest
from tests.devicemodel.fw_cfg.rom_boot import ROMS
from tests.devicemodel.fw_cfg.witness import multiboot_kernel, pvh_kernel
from tests.devicemodel.handover import discovered_native
from toolstack.images import ensure

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "schemas" / "inspect.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CMDLINE = b"console=ttyS0 nokaslr"
SEABIOS = Path("/usr/share/seabios/bios-256k.bin")
HVMLOADER = Path("/usr/lib/xen-4.17/boot/hvmloader")

platforms = pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)


def looked(kernel: bytes, ramdisk: bytes | None = None, **question: Any) -> Findings:
    with no_guest() as ram, host_files(kernel, ramdisk) as files:
        return inspect(Question(files, CMDLINE, **question), ram)


def shown(findings: Findings) -> dict[str, Any]:
    """The object of `--json`, which has its form; the text is as wide as it may be."""
    text = to_text(findings)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "..." not in text
    told: dict[str, Any] = json.loads(to_json(findings))
    VALIDATOR.validate(told)
    return told


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_words_of_the_schema_are_the_codes() -> None:
    properties, forms = SCHEMA["properties"], SCHEMA["$defs"]
    methods = properties["method"]["oneOf"][1]["properties"]["name"]["enum"]
    assert set(methods) == {method.value for method in BootMethod} - {"auto"}
    assert forms["guest"]["properties"]["platform"]["enum"] == [p.value for p in Platform]
    placements = forms["plan"]["properties"]["placements"]["items"]["properties"]
    assert placements["when"]["enum"] == [when.value for when in When]
    codes = {error.exit_code for error in ALL_ERRORS}
    bound = forms["refusal"]["properties"]["exit_code"]
    assert (bound["minimum"], bound["maximum"]) == (min(codes), max(codes))


@platforms
@pytest.mark.parametrize("image", [RELOCATABLE, FIXED], ids=["relocatable", "fixed"])
def test_the_plan_is_the_one_a_boot_follows(image: BzImage, platform: Platform) -> None:
    findings = looked(image.build(), RAMDISK, platform=platform, memory_mib=64)
    with poisoned_guest(platform) as guest, host_files(image.build(), RAMDISK) as files:
        booted = place(verify(discovered_native(guest, files, CMDLINE), guest.ram)).plan
        assert isinstance(booted, BootPlan)
    assert isinstance(findings.outcome, BootPlan)
    assert findings.outcome.block == booted.block
    assert placed(findings.outcome) == placed(booted)


def test_fields_have_the_offset_and_the_value_of_the_file() -> None:
    file = RELOCATABLE.build()
    told = shown(looked(file))
    fields = {field["name"]: field for field in told["image"]["fields"]}
    assert fields["init_size"]["offset"] == 0x260
    assert fields["init_size"]["value"] == RELOCATABLE.init_size
    for field in fields.values():
        at, value = field["offset"], field["value"]
        size = max((value.bit_length() + 7) // 8, 1)
        assert int.from_bytes(file[at : at + size], "little") == value, field


def test_fields_newer_than_the_image_are_not_shown() -> None:
    told = shown(looked(BzImage(version=0x204).build()))
    names = [field["name"] for field in told["image"]["fields"]]
    assert "initrd_addr_max" in names
    assert "kernel_alignment" not in names
    assert "pref_address" not in names


@pytest.mark.parametrize(
    ("kernel", "method", "mode"),
    [
        (RELOCATABLE.build, "linux", "real"),
        (multiboot_kernel, "multiboot", "32"),
        (pvh_kernel, "pvh", "32"),
    ],
    ids=["linux", "multiboot", "pvh"],
)
def test_each_format_is_told_by_its_method_and_how_it_is_entered(
    kernel: Any, method: str, mode: str
) -> None:
    told = shown(looked(kernel(), RAMDISK))
    assert told["method"]["name"] == method
    assert told["plan"]["entry"]["mode"] == mode
    assert told["refusal"] is None
    others = {other["option"]: other for other in told["alternatives"]}
    for name in {"linux", "multiboot", "pvh"} - {method}:
        refusal = others[f"--boot {name}"]["refusal"]
        assert refusal["kind"] == "layout"


def test_the_other_entries_are_told_with_the_reason_where_there_is_none() -> None:
    kernel = BzImage(xloadflags=0).build()
    others = {a.option: a.outcome for a in looked(kernel).alternatives}
    assert others["--entry 32"] == "linux 2.15, 32-bit entry"
    refused = others["--entry 64"]
    assert isinstance(refused, Refusal)
    assert refused.kind == ConfigError.kind
    assert "no 64-bit entry" in refused.text


@platforms
@pytest.mark.parametrize("init_size", [0x50000, 0x2800000, 0x5123000])
def test_the_least_memory_is_the_least_that_boots(init_size: int, platform: Platform) -> None:
    kernel = BzImage(init_size=init_size).build()
    least = looked(kernel, RAMDISK, platform=platform).least_memory_mib
    assert least is not None

    def boots(memory_mib: int) -> bool:
        with poisoned_guest(platform, memory_mib * MIB) as guest:
            with host_files(kernel, RAMDISK) as files:
                found = discovered_native(guest, files, CMDLINE)
                try:
                    place(verify(found, guest.ram))
                except HandoffError:
                    return False
            return True

    assert boots(least)
    assert least == 64 or not boots(least - 1)


def test_a_guest_too_small_is_refused_with_what_would_do() -> None:
    told = shown(looked(BzImage(init_size=0x5000000).build(), memory_mib=64))
    assert told["plan"] is None
    assert told["refusal"]["kind"] == "placement"
    assert "give the guest at least" in told["refusal"]["text"]
    assert told["least_memory_mib"] > 64


def test_a_file_of_no_format_is_refused_by_every_method_with_its_reason() -> None:
    told = shown(looked(noise(5000, 1)))
    assert told["method"] is None
    assert told["refusal"]["kind"] == "layout"
    assert [other["option"] for other in told["alternatives"]] == [
        "--boot linux",
        "--boot pvh",
        "--boot multiboot",
    ]
    assert all(other["refusal"] is not None for other in told["alternatives"])


@pytest.mark.parametrize("entry", EntryMode, ids=lambda entry: entry.value)
def test_the_entry_that_is_asked_for_is_the_one_told(entry: EntryMode) -> None:
    told = shown(looked(RELOCATABLE.build(), entry=entry))
    assert told["plan"]["entry"]["mode"] == ("real" if entry is EntryMode.AUTO else entry.value)
    options = [other["option"] for other in told["alternatives"] if "--entry" in other["option"]]
    assert len(options) == 2


@settings(max_examples=200)
@given(
    changes=st.dictionaries(st.integers(0x1F0, 0x270), st.integers(0, 255), max_size=12),
    boot=st.sampled_from([m for m in BootMethod if m is not BootMethod.FIRMWARE]),
)
def test_whatever_a_header_says_it_is_told_or_refused(
    changes: dict[int, int], boot: BootMethod
) -> None:
    image = bytearray(RELOCATABLE.build())
    for at, value in changes.items():
        image[at] = value
    shown(looked(bytes(image), boot=boot))


@settings(max_examples=100)
@given(
    changes=st.dictionaries(st.integers(0, 0xC0), st.integers(0, 255), max_size=12),
    kernel=st.sampled_from([multiboot_kernel(), pvh_kernel()]),
)
def test_whatever_an_elf_or_a_multiboot_header_says_it_is_told_or_refused(
    changes: dict[int, int], kernel: bytes
) -> None:
    image = bytearray(kernel)
    for at, value in changes.items():
        image[at] = value
    shown(looked(bytes(image)))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devicemodel", "inspect", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def images() -> Sequence[str]:
    return [str(image.path) for image in ensure(("vmlinuz", "initrd.img", "xen.gz"))]


def test_debians_kernel_is_told_in_text_by_a_confined_process(images: Sequence[str]) -> None:
    kernel, ramdisk, _ = images
    ran = command(kernel, "--ramdisk", ramdisk, "--sandbox", "auto")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("vmlinuz, ")
    assert "Linux bzImage, protocol 2.15, relocatable" in ran.stdout
    assert "enters in real mode, interrupts off:\n     cs=1020 ip=0000 ss=1000" in ran.stdout
    assert "--boot pvh" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= WIDTH


def test_xen_is_told_with_its_modules_as_json(images: Sequence[str]) -> None:
    kernel, ramdisk, xen = images
    modules = f"{kernel} console=hvc0,{ramdisk}"
    ran = command(xen, "--ramdisk", modules, "--platform", "qemu-pc", "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    VALIDATOR.validate(told)
    assert told["plan"]["method"] == "multiboot, ELF32 (gzip)"
    assert told["plan"]["entry"]["registers"]["eax"] == 0x2BADB002
    assert [place["name"] for place in told["plan"]["placements"]].count("module 1") == 1


def test_firmware_is_told_without_a_kernel() -> None:
    ran = command(str(SEABIOS), "--boot", "firmware", "--firmware", str(HVMLOADER))
    assert ran.returncode == 0, ran.stderr
    assert "eip=00100000 ebx=" in ran.stdout


def test_an_option_rom_of_qemu_leaves_the_entry_to_itself(images: Sequence[str]) -> None:
    rom = f"linux:{ROMS / 'linuxboot_dma.bin'}"
    ran = command(images[0], "--option-rom", rom, "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    VALIDATOR.validate(told)
    assert told["plan"]["entry"] is None
    assert "option ROM of QEMU" in told["plan"]["method"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("README.md",), LayoutError.exit_code, ""),
        (("/nonexistent",), ImageError.exit_code, "kernel /nonexistent: No such file"),
        (("/dev/null",), ImageError.exit_code, "not a regular file"),
        (("README.md", "--memory", "63"), 2, "'63' is not a number of MiB from 64"),
        (("README.md", "--ramdisk", "a,,b"), ImageError.exit_code, "ramdisk a,b: No such file"),
        (("README.md", "--cmdline", "x" * 4096), ConfigError.exit_code, "4096 bytes, at most 4095"),
        (("README.md", "--firmware", "README.md"), ConfigError.exit_code, "--firmware is for"),
    ],
)
def test_what_cannot_be_asked_ends_with_one_line_and_the_usual_code(
    arguments: tuple[str, ...], status: int, words: str
) -> None:
    ran = command(*arguments)
    assert ran.returncode == status
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "devicemodel", "inspect", "README.md"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == LayoutError.exit_code
    assert process.stderr is not None
    with process.stderr as errors:
        assert b"error" not in errors.read()


def test_the_device_model_starts_without_it() -> None:
    """Its start is a part of every boot."""
    code = "import sys, devicemodel.cli; print([m for m in sys.modules if '.inspect' in m])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
