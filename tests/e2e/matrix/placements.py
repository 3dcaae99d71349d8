"""What the device model reports of a run, where a document or a bug has named it."""

from __future__ import annotations

from typing import Any

from handoff.platforms import Platform
from tests.e2e.matrix.cells import MULTIBOOT, PVH, REAL, Method


def check_placements(
    image: str, method: Method, platform: Platform, placed: dict[str, Any]
) -> None:
    """placed: the JSON object of that event."""
    entries = placed["placements"]
    starts = [(entry["when"], entry["start"]) for entry in entries if entry["name"] == "kernel"]
    if (image, method) == ("xen.gz", MULTIBOOT):
        assert placed["method"] == "multiboot, ELF32 (gzip)"
        assert starts == [("now", 0x200000)]
        assert [entry["name"] for entry in entries].count("module 1") == 1
    elif (image, method) == ("vmlinux", PVH):
        assert placed["method"] == "pvh, ELF64"
    elif (image, method) == ("vmlinuz", PVH):
        assert starts[0] == ("now", 0x1000000)
        assert all(when == "now" for when, _ in starts)
    elif (image, method, platform) == ("memtest86+x64.bin", REAL, Platform.XEN_HVM):
        # hvmloader's megabyte is free when the BIOS extension runs, and not before.
        by_time = dict(starts)
        assert by_time["bev"] == 0x100000
        assert by_time["now"] >= 0x200000
