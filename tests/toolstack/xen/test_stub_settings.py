"""A stub domain is built as its operator says, by xl's keys and no others."""

from __future__ import annotations

from uuid import UUID

import pytest

from handoff.errors import ConfigError
from toolstack.config import read_config
from toolstack.config.parser import parse
from toolstack.xen.stub_domain import stub_config
from toolstack.xen.stub_settings import StubSettings

IDENTITY = UUID("12345678-9abc-def0-1234-56789abcdef0")
GUEST = 'type = "hvm"\nname = "g"\nmemory = 256\nkernel = "/k"\n'
FILES = 'stubdomain_kernel = "/stub/vmlinuz"\nstubdomain_ramdisk = "/stub/initrd"\n'


def settings(text: str) -> StubSettings:
    return StubSettings.of(read_config(GUEST + text, "guest.cfg")[0])


def built(text: str) -> dict[str, str]:
    made = parse(stub_config(settings(text), "g-dm", IDENTITY), "made")
    return {statement.name: str(statement.value) for statement in made.statements}


def test_its_kernel_and_its_initramfs_are_the_operators() -> None:
    given = built(FILES)
    assert (given["type"], given["name"], given["uuid"]) == ("pv", "g-dm", str(IDENTITY))
    assert (given["kernel"], given["ramdisk"]) == ("/stub/vmlinuz", "/stub/initrd")
    assert (given["memory"], given["cmdline"]) == ("256", "console=hvc0 quiet")


def test_its_size_and_its_command_line_can_be_chosen() -> None:
    given = built(FILES + 'stubdomain_memory=192\nstubdomain_cmdline="console=hvc0"\n')
    assert (given["memory"], given["cmdline"]) == ("192", "console=hvc0")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('stubdomain_kernel="/k"\n', "stubdomain_ramdisk: is missing: .*name its kernel and its"),
        ('stubdomain_ramdisk="/r"\n', "stubdomain_kernel: is missing"),
        (FILES + 'stubdomain_kernel=""\n', "stubdomain_kernel: is missing"),
        (
            FILES + 'stubdomain_memory="much"\n',
            "stubdomain_memory=much: is no number of MiB",
        ),
        (FILES + "stubdomain_memory=0\n", "stubdomain_memory=0: is no number of MiB: write"),
        (FILES + "stubdomain_memory=[192]\n", r"stubdomain_memory=\[192\]: is a list: write stub"),
        (FILES + 'stubdomain_cmdline=["a", "b"]\n', r"stubdomain_cmdline=\[a, b\]: is a list"),
        (FILES + "stubdomain_vcpus=2\n", "stubdomain_vcpus=2: xl knows no such key: it has stub"),
    ],
)
def test_what_says_nothing_xl_knows_is_refused_by_its_key(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(text)
