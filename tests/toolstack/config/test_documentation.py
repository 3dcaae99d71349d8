"""docs/config.md says what the code does, and its examples are read."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from handoff.errors import ALL_ERRORS, ConfigError
from toolstack.config import GuestConfig, read_config
from toolstack.config.disk import DiskFormat
from toolstack.config.guest import (
    MEMORY_MIN_MIB,
    NAME_MAX_CHARS,
    Bios,
)
from toolstack.config.reader import KEYS

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "config.md").read_text()
EXAMPLES = sorted((DOCS / "examples").glob("*.cfg"))


def row(first: str) -> str:
    """The table row whose first cell is `first`."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*$", TEXT, re.MULTILINE)
    return str(found)


def test_every_key_has_one_row_and_no_row_is_of_another_key() -> None:
    tables = TEXT.partition("## The guest")[2].partition("A disk is written")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)) == sorted(KEYS)


def test_the_refusal_that_is_shown_is_what_is_said() -> None:
    text = "name='web';type='hvm';memory=512" + "\n" * 6 + 'ramdisk="/boot/initrd.img"'
    with pytest.raises(ConfigError) as refused:
        read_config(text, "web.cfg")
    assert f"    {refused.value}\n" in TEXT


def test_bounds_and_words_are_those_of_the_code() -> None:
    assert f"1 to {NAME_MAX_CHARS} printable" in row("`name`")
    assert f"At least {MEMORY_MIN_MIB}:" in row("`memory`")
    assert all(f"`{bios.value}`" in row("`bios`") for bios in Bios)
    assert all(f"`{word.value}`" in row("`format`") for word in DiskFormat)


def test_every_example_is_mentioned_and_read() -> None:
    assert {path.name for path in EXAMPLES} == set(re.findall(r"examples/([\w-]+\.cfg)", TEXT))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_gives_a_guest(path: Path) -> None:
    guest, warnings = read_config(path.read_text(), path.name)
    assert guest.ignored == ()
    assert [str(warning) for warning in warnings] == (
        ['root-extra.cfg:2:15: builder: is deprecated since Xen 4.10: write type="hvm"']
        if path.stem == "root-extra"
        else []
    )


def example(name: str) -> GuestConfig:
    return read_config((DOCS / "examples" / name).read_text(), name)[0]


def test_the_examples_mean_what_their_comments_say() -> None:
    assert example("linux.cfg").cmdline == "console=ttyS0 root=/dev/xvda ro"
    assert example("root-extra.cfg").cmdline == "root=/dev/xvda ro quiet"
    disks = example("disk.cfg")
    assert disks.kernel is None
    assert [(disk.vdev, disk.read_only) for disk in disks.disks] == [
        *(("hda", False), ("xvde", True), ("hdc", True))
    ]
    assert disks.disks[1].target == "/var/lib/images/data, shared.raw"
    assert disks.serial_file == "/tmp/installer.log"


def test_the_table_of_exit_codes_is_the_codes() -> None:
    table = TEXT.partition("## Exit codes")[2]
    rows = re.findall(r"^\| (\d+) \| ([a-z-]+) \| (.+) \|$", table, re.MULTILINE)
    assert rows == [
        (str(error.exit_code), error.kind, _first_sentence(error)) for error in ALL_ERRORS
    ]


def _first_sentence(error: type[Exception]) -> str:
    """The first paragraph of its docstring as one line, without the full stop."""
    paragraph = (inspect.getdoc(error) or "").split("\n\n")[0]
    return " ".join(paragraph.split()).rstrip(".")
