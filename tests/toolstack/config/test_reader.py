from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.errors import ConfigError
from handoff.modules import ModuleFile
from toolstack.config import Bios, GuestConfig, SettingRefused, read_config
from toolstack.config.reader import KEYS

BASE = 'name="g"; type="hvm"; memory=256\n'
KERNEL = 'kernel="/boot/vmlinuz"\n'
VERSION = 'device_model_version="qemu-xen"\n'


def read(text: str) -> GuestConfig:
    """The guest of a text that gives no warning."""
    guest, warnings = read_config(text, "g.cfg")
    assert [str(warning) for warning in warnings] == []
    return guest


def warned(text: str) -> tuple[GuestConfig, str]:
    """The guest and the one warning of a text."""
    guest, warnings = read_config(text, "g.cfg")
    assert len(warnings) == 1, [str(warning) for warning in warnings]
    return guest, str(warnings[0])


def refusal(text: str) -> str:
    with pytest.raises(SettingRefused) as refused:
        read_config(text, "g.cfg")
    return str(refused.value)


def test_every_key_comes_to_its_field() -> None:
    guest = read(
        """
        name = "web-1"
        uuid = "01234567-89ab-cdef-0123-456789ABCDEF"
        type = "hvm"
        memory = 0x200
        maxmem = "512"
        kernel = "/boot/vmlinuz"
        ramdisk = "/boot/initrd.img"
        cmdline = "console=ttyS0 root=/dev/xvda"
        bios = "seabios"
        device_model_version = "qemu-xen"
        device_model_stubdomain_override = 1
        serial = "pty"
        disk = [ "/dev/vg/root,,xvda",
                 "/root/image.iso,,hdc,cdrom" ]
        """
    )
    assert (guest.name, guest.uuid) == ("web-1", UUID("01234567-89ab-cdef-0123-456789abcdef"))
    assert (guest.memory_mib, guest.maxmem_mib) == (512, 512)
    assert (guest.kernel, guest.ramdisk) == ("/boot/vmlinuz", "/boot/initrd.img")
    assert guest.cmdline == "console=ttyS0 root=/dev/xvda"
    assert (guest.bios, guest.firmware) == (Bios.SEABIOS, None)
    assert guest.device_model_version.value == "qemu-xen"
    assert guest.device_model_stubdomain_override is True
    assert guest.serial == ("pty",)
    assert [disk.vdev for disk in guest.disks] == ["xvda", "hdc"]
    assert guest.ignored == ()


def test_ramdisk_may_name_several_images_with_a_command_line_each() -> None:
    built = read(BASE + "kernel='/xen.gz'; ramdisk='/vmlinuz root=/dev/sda,/initrd,,1,/ucode x'")
    assert (built.ramdisk, built.ramdisk_arguments) == ("/vmlinuz", "root=/dev/sda")
    assert built.more_modules == (ModuleFile("/initrd,1"), ModuleFile("/ucode", "x"))


def test_a_name_missing_among_them_is_refused_where_it_stands() -> None:
    for missing in ("/a,", ",/a", "/a, x"):
        assert 'ramdisk="": is empty' in refusal(BASE + f"kernel='/k'; ramdisk='{missing}'")


def test_the_least_configuration_is_name_type_and_memory() -> None:
    assert read(BASE) == GuestConfig(name="g", memory_mib=256)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("type='hvm';memory=256", "g.cfg:1:1: name: is missing: every domain has one: add name="),
        ("name='g';type='hvm'", "g.cfg:1:1: memory: is missing: the guest's size is not guessed"),
        ("name='g';memory=256", "g.cfg:1:1: type: is missing: xl builds a PV guest then: add ty"),
    ],
)
def test_what_every_guest_needs_is_asked_for(text: str, line: str) -> None:
    assert refusal(text).startswith(line)


@pytest.mark.parametrize("type_", ["pv", "pvh"])
def test_guests_without_device_model_are_refused_with_the_reason(type_: str) -> None:
    said = refusal(f'name="g"\ntype="{type_}"\nmemory=256')
    assert said.startswith(f'g.cfg:2:1: type="{type_}": has no device model and no firmware')
    assert said.endswith('write type="hvm"')


def test_builder_is_the_old_name_of_type() -> None:
    guest, said = warned("name='g';memory=256\nbuilder='hvm'")
    assert guest.name == "g"
    assert said == 'g.cfg:2:1: builder: is deprecated since Xen 4.10: write type="hvm"'
    assert refusal("name='g';memory=256;builder='generic'").startswith('g.cfg:1:21: builder="pv"')
    assert "contradicts type=hvm" in refusal(BASE + "builder='generic'")
    assert "is not a builder" in refusal(BASE + "builder='linux'")
    assert "is not a domain type" in refusal("type='h'")


@pytest.mark.parametrize("key", ["ramdisk", "cmdline", "root", "extra"])
def test_direct_boot_parameters_without_a_kernel_are_refused_by_their_own_name(key: str) -> None:
    said = refusal(f'{BASE}{key}="x"')
    assert said.startswith(f"g.cfg:2:1: {key}=")
    assert "direct boot parameter without a kernel" in said
    assert said.endswith(f'add kernel="PATH", or remove {key}=')


@pytest.mark.parametrize(
    ("text", "cmdline"),
    [
        ("", None),
        ("cmdline='a b'", "a b"),
        ("cmdline=''", ""),
        ("root='/dev/xvda'", "root=/dev/xvda"),
        ("extra='quiet'", "quiet"),
        ("root='/dev/xvda'\nextra='ro quiet'", "root=/dev/xvda ro quiet"),
        ("cmdline='a'\ncmdline+=' b'", "a b"),
    ],
)
def test_the_command_line_is_composed_as_xl_composes_it(text: str, cmdline: str | None) -> None:
    assert read(BASE + KERNEL + text).cmdline == cmdline


@pytest.mark.parametrize("key", ["root", "extra"])
def test_cmdline_wins_over_root_and_extra_with_a_warning(key: str) -> None:
    guest, said = warned(f"{BASE}{KERNEL}cmdline='a'\n{key}='b'")
    assert guest.cmdline == "a"
    assert said == f"g.cfg:4:1: {key}: is ignored: cmdline= replaces root= and extra="


def test_hvmloader_as_kernel_is_dropped_with_a_warning() -> None:
    guest, said = warned(BASE + "kernel='/usr/lib/xen/boot/hvmloader'")
    assert guest.kernel is None
    assert said.startswith("g.cfg:2:1: kernel: is ignored: hvmloader is firmware")
    assert "without a kernel" in refusal(BASE + "kernel='hvmloader'; ramdisk='/i'")


@pytest.mark.parametrize(
    ("text", "bios"),
    [
        ("", Bios.SEABIOS),
        ("bios='seabios'", Bios.SEABIOS),
        ("bios='SeaBIOS'", Bios.SEABIOS),
        ("bios='ovmf'", Bios.OVMF),
        ("firmware='ovmf'", Bios.OVMF),
        ("firmware='uefi'", Bios.OVMF),
        ("firmware='seabios'", Bios.SEABIOS),
        ("firmware='bios'", Bios.SEABIOS),
        ("bios='ovmf';firmware='bios'", Bios.OVMF),
        ("bios='ovmf';firmware='uefi'", Bios.OVMF),
    ],
)
def test_bios_and_firmware_name_the_firmware(text: str, bios: Bios) -> None:
    guest = read(BASE + text)
    assert (guest.bios, guest.firmware) == (bios, None)


def test_firmware_wins_over_bios_with_a_warning() -> None:
    guest, said = warned(BASE + "bios='seabios'\nfirmware='uefi'")
    assert guest.bios is Bios.OVMF
    assert said == "g.cfg:3:1: firmware: replaces bios="


@pytest.mark.parametrize("key", ["firmware", "firmware_override"])
def test_a_firmware_of_ones_own_is_kept(key: str) -> None:
    guest = read(BASE + f"{key}='/usr/lib/xen/boot/mine'")
    assert (guest.firmware, guest.bios) == ("/usr/lib/xen/boot/mine", Bios.SEABIOS)


def test_the_override_wins_over_firmware_with_a_warning() -> None:
    guest, said = warned(BASE + "firmware='/usr/lib/one'\nfirmware_override='/usr/lib/two'")
    assert guest.firmware == "/usr/lib/two"
    assert said == "g.cfg:3:1: firmware_override: replaces firmware="


def test_a_bios_of_ones_own_should_come_with_its_kind() -> None:
    guest, said = warned(BASE + "bios_path_override='/usr/lib/bios.bin'")
    assert guest.bios_path == "/usr/lib/bios.bin"
    assert "is given without bios=" in said
    assert read(BASE + "bios_path_override='/x'\nbios='ovmf'").bios_path == "/x"


def test_the_boot_order_is_libxls_unless_it_is_named() -> None:
    assert read(BASE).boot == "cda"
    assert read(BASE + "boot='dc'").boot == "dc"


@pytest.mark.parametrize("order", ["", "e", "cc", "cdx"])
def test_a_boot_order_of_other_letters_is_refused(order: str) -> None:
    assert "is no boot order" in refusal(BASE + f"boot='{order}'")


@pytest.mark.parametrize("key", ["bios", "firmware"])
def test_rombios_is_refused_as_libxl_refuses_it(key: str) -> None:
    said = refusal(f"{BASE}{key}='rombios'")
    assert said == (
        f'g.cfg:2:1: {key}="rombios": is not supported by qemu-xen: write {key}="seabios"'
    )


def test_a_bios_nobody_knows_is_refused() -> None:
    assert 'bios="coreboot": is not a BIOS: seabios, ovmf' in refusal(BASE + "bios='coreboot'")


@pytest.mark.parametrize("key", ["bios='ovmf'", "firmware='uefi'"])
def test_ovmf_with_a_kernel_is_refused_where_it_was_asked_for(key: str) -> None:
    said = refusal(f"{BASE}{KERNEL}{key}")
    assert said.startswith(f"g.cfg:3:1: {key.partition('=')[0]}=")
    assert "OVMF never enters the BIOS extension" in said


def test_the_traditional_device_model_is_refused_with_the_reasons() -> None:
    said = refusal(BASE + "device_model_version='qemu-xen-traditional'")
    for reason in ("needs rombios", "cannot boot a kernel directly", "gone since Xen 4.21"):
        assert reason in said
    assert "is not a device model" in refusal(BASE + "device_model_version='qemu'")


def test_a_stub_domain_without_a_version_means_qemu_xen_with_a_warning() -> None:
    guest, said = warned(BASE + "device_model_stubdomain_override=1")
    assert guest.device_model_stubdomain_override is True
    assert said.startswith("g.cfg:2:1: device_model_stubdomain_override: device_model_version=")
    assert "libxl before 4.21 takes qemu-xen-traditional" in said


def test_a_device_model_in_dom0_is_not_what_happens_here() -> None:
    guest, said = warned(BASE + VERSION + "device_model_stubdomain_override=0")
    assert guest.device_model_stubdomain_override is False
    assert "--native" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("memory=63", 'g.cfg:2:1: memory="63": is not in 64..1048576 MiB: give the guest'),
        ("memory='lots'", 'g.cfg:2:1: memory="lots": is not a number: write it decimal'),
        ("memory=[256]", 'g.cfg:2:1: memory="[256]": is a list, must be a number: write memory='),
        ("maxmem=1", 'g.cfg:2:1: maxmem="1": is not in 256..1048576 MiB: set it to'),
        ("name=['g']", 'g.cfg:2:1: name="[g]": is a list, must be one string: write name="..."'),
        ("name='7'", 'g.cfg:2:1: name="7": is a number, which xl commands take for a domid'),
        ("uuid='1234'", 'g.cfg:2:1: uuid="1234": is not a uuid: write 8-4-4-4-12'),
        ("disk='/a,,xvda'", 'g.cfg:2:1: disk="/a,,xvda": is one string, must be a list'),
        ("disk=['/a,,xvda','/b']", 'g.cfg:2:1: disk="/b": disk 1 has no vdev: name the guest'),
        ("disk=['/a,,hda,r']", 'g.cfg:2:1: disk="hda": is read-only: qemu-xen has no read-on'),
        ("serial=[['pty']]", 'g.cfg:2:9: serial[0]="[pty]": is a list, must be a string'),
        ("device_model_stubdomain_override='yes'", "is not a number: write 1 or 0"),
        ("acpi_firmware=''", 'g.cfg:2:1: acpi_firmware="": is empty'),
        ("kernel='/k'; smbios_firmware='/a'", 'g.cfg:2:14: smbios_firmware="/a": is for hvmloader'),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_place_key_value_and_remedy(
    text: str, line: str
) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_config(f'name="g"; type="hvm"; memory=256\n{text}', "g.cfg")
    assert line in str(refused.value)


def test_more_memory_at_most_than_now_is_kept_but_not_given() -> None:
    guest, said = warned(BASE + "maxmem=1024")
    assert (guest.memory_mib, guest.maxmem_mib) == (256, 1024)
    assert said == "g.cfg:2:1: maxmem: the guest has memory=256 MiB: it is not ballooned here"


def test_serial_ports_are_one_string_or_a_list() -> None:
    assert read(BASE + "serial='file:/tmp/x'").serial_file == "/tmp/x"
    assert read(BASE + "serial=['pty', 'stdio']").serial == ("pty", "stdio")


def test_disk_parameters_that_change_nothing_are_named() -> None:
    guest, said = warned(BASE + "disk=['/a,,xvda,discard']")
    assert guest.disks[0].unused == ("discard",)
    assert said == "g.cfg:2:1: disk: disk 0: not used here: discard"


def test_other_settings_are_kept_and_named_in_one_line() -> None:
    guest, said = warned(BASE + "vcpus=2\nvif=['bridge=xenbr0']\nusb=1")
    assert said == "not used here: vcpus (line 2), vif (line 3), usb (line 4)"
    assert [(one.name, str(one.value)) for one in guest.ignored] == [
        ("vcpus", "2"),
        ("vif", "[bridge=xenbr0]"),
        ("usb", "1"),
    ]


@pytest.mark.parametrize(("typo", "meant"), [("cmdlin", "cmdline"), ("ramdisc", "ramdisk")])
def test_a_near_miss_of_a_key_is_asked_about(typo: str, meant: str) -> None:
    _, warnings = read_config(f"{BASE}{KERNEL}{typo}='x'", "g.cfg")
    assert str(warnings[-1]) == f"g.cfg:3:1: {typo}: is not used here: did you mean {meant}?"


def test_settings_of_the_command_line_count_after_the_file() -> None:
    guest, warnings = read_config(BASE, "g.cfg", ["memory=512", 'kernel="/k"; extra="quiet"'])
    assert (guest.memory_mib, guest.kernel, guest.cmdline) == (512, "/k", "quiet")
    assert warnings == ()
    with pytest.raises(SettingRefused, match=r'^command line:1:1: memory="1"'):
        read_config(BASE, "g.cfg", ["memory=1"])
    with pytest.raises(ConfigError, match=r"^command line:1:8: found a name"):
        read_config(BASE, "g.cfg", ["memory=lots"])


def test_warnings_of_the_syntax_are_passed_on() -> None:
    _, warnings = read_config(BASE + "memory=512 \\\n", "g.cfg")
    assert [str(warning).split(": ")[0] for warning in warnings] == ["g.cfg:2:12", "g.cfg:2:1"]


VALUES = st.sampled_from(
    ["1", "256", "'hvm'", "'x'", "''", "[]", "['/a,,hda']", "'qemu-xen'", "'/k'", "[[1]]", "-1"]
)


@given(st.lists(st.tuples(st.sampled_from([*KEYS, "vif"]), VALUES), max_size=12))
def test_any_settings_give_a_guest_or_a_refusal_in_one_line(
    settings: list[tuple[str, str]],
) -> None:
    said = ""
    try:
        read_config(BASE + "\n".join(f"{key}={value}" for key, value in settings), "g.cfg")
    except ConfigError as refused:
        said = str(refused)
    assert said == "" or said.isprintable()
