"""Equivalent spellings come from xl-disk-configuration(5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolstack.config.disk import DiskFormat, DiskSpecError, parse_disk

VOLUME = ("/dev/vg/guest-volume", DiskFormat.RAW, "hda", False, False)
ISO = ("/root/image.iso", DiskFormat.RAW, "hdc", True, True)
EMPTY = (None, DiskFormat.EMPTY, "hdc", True, True)


@pytest.mark.parametrize(
    ("spec", "disk"),
    [
        ("/dev/vg/guest-volume,,hda", VOLUME),
        ("/dev/vg/guest-volume,raw,hda,rw", VOLUME),
        ("/dev/vg/guest-volume,raw,hda,w,", VOLUME),
        ("format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume", VOLUME),
        ("raw:/dev/vg/guest-volume,hda,w", VOLUME),
        ("phy:/dev/vg/guest-volume,hda", VOLUME),
        ("tap:aio:/dev/vg/guest-volume,hda", VOLUME),
        ("vdev=hda,,target=/dev/vg/guest-volume", VOLUME),
        ("format=,access=,/dev/vg/guest-volume,hda", VOLUME),
        ("format=raw,/dev/vg/guest-volume,hda,rw", VOLUME),
        (" \t/dev/vg/guest-volume, raw, hda, devtype=disk", VOLUME),
        ("/root/image.iso,,hdc,cdrom", ISO),
        ("/root/image.iso,,hdc,,cdrom", ISO),
        ("/root/image.iso,raw,hdc,devtype=cdrom", ISO),
        ("format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso", ISO),
        ("raw:/root/image.iso,hdc:cdrom,ro", ISO),
        ("file:/root/image.iso,hdc:cdrom,r", ISO),
        ("devtype=cdrom,,,hdc", EMPTY),
        (",,hdc:cdrom,r", EMPTY),
        (",hdc:cdrom,r", EMPTY),
        (",empty,hdc:cdrom,r", EMPTY),
        ("vdev=hdc,access=r,devtype=cdrom,target=", EMPTY),
        ("vdev=hdc,access=r,devtype=cdrom,format=empty", EMPTY),
        ("vdev=hdc,access=r,devtype=cdrom", EMPTY),
        ("/a,qcow2,xvda,r", ("/a", DiskFormat.QCOW2, "xvda", True, False)),
        ("qcow:/a,xvda", ("/a", DiskFormat.QCOW, "xvda", False, False)),
        ("vdev=xvda,target=/a,b=c:d ", ("/a,b=c:d ", DiskFormat.RAW, "xvda", False, False)),
        ("backend=0,/a,vhd,sda", ("/a", DiskFormat.VHD, "sda", False, False)),
        ("script=,/a,qed,sda1", ("/a", DiskFormat.QED, "sda1", False, False)),
        ("/a,raw,hda:disk,r", ("/a", DiskFormat.RAW, "hda", True, False)),
    ],
)
def test_a_disk_string_means_what_its_manual_page_says(
    spec: str, disk: tuple[str | None, DiskFormat, str, bool, bool]
) -> None:
    read = parse_disk(spec)
    assert (read.target, read.format, read.vdev, read.read_only, read.cdrom) == disk
    assert read.device.bus.value == read.vdev.rstrip("1")[:-1]


def test_what_changes_nothing_here_is_kept_as_written() -> None:
    disk = parse_disk("/a,,xvda,discard,backendtype=phy,specification=xen,untrusted")
    assert disk.unused == ("discard", "backendtype=phy", "specification=xen", "untrusted")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "has no vdev"),
        ("/a", "has no vdev"),
        ("/a,raw", "has no vdev"),
        ("/a,raw,", "has no vdev"),
        ("/a,raw,vda", 'has the vdev "vda"'),
        ("/a,raw,hde", 'has the vdev "hde"'),
        (",,hda", "has no target"),
        ("vdev=hda", "has no target"),
        ("/a,empty,hda", "is empty and not a cdrom"),
        ("/a,tar,hda", 'has the format "tar"'),
        ("/a,raw ,hda", 'has the format "raw "'),
        ("/a,raw,hda,x", 'has the access "x"'),
        ("/a,raw,hda,w,x", 'has "x" behind target, format, vdev and access'),
        ("/a,raw,hda:floppy", 'has the device type "floppy"'),
        ("/a,raw,hda,devtype=tape", 'has the devtype "tape"'),
        ("/a,raw,hda,format=qcow2", "names two formats"),
        ("/a,raw,hda,target=/b", 'names two targets, "/a" first'),
        ("vdev=hda,/a,raw,vdev=hdb", 'names two vdevs, "hda" first'),
        ("/a,raw,hda,cache=none", 'has the unknown parameter "cache"'),
        ("/a=b,raw,hda", 'has the unknown parameter "/a"'),
        ("http://x/a,raw,hda", 'has the unknown prefix "http:"'),
        ("iscsi:iqn,xvda,w", 'wants the hotplug script "block-iscsi"'),
        ("/a,raw,hda,script=mine", 'wants the hotplug script "mine"'),
        ("/a,raw,hda,backend=driver", 'has the backend "driver"'),
        ("/a,raw,hda,backendtype=file", 'has the backendtype "file"'),
        ("file:", "has no vdev"),
    ],
)
def test_a_disk_that_cannot_be_used_is_refused_with_what_is_wrong(spec: str, problem: str) -> None:
    with pytest.raises(DiskSpecError) as refused:
        parse_disk(spec)
    assert refused.value.problem.startswith(problem)
    assert refused.value.remedy


PARAMETERS = st.sampled_from(
    [
        *("/a", "raw", "qcow2", "xvda", "hdc", "r", "w", "cdrom", "devtype=cdrom", "format=raw"),
        *("vdev=hda", "access=ro", "target=/b", "discard", "raw:/c", "hda:cdrom", "", " ", "x=y"),
    ]
)


@given(st.lists(PARAMETERS, max_size=7))
def test_any_parameters_give_a_whole_disk_or_a_refusal(parameters: list[str]) -> None:
    try:
        disk = parse_disk(",".join(parameters))
    except DiskSpecError as refused:
        disk = None
        problem = refused.problem
    assert (
        problem.isprintable()
        if disk is None
        else (disk.target is None) == (disk.format is DiskFormat.EMPTY)
    )
