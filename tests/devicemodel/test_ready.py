from __future__ import annotations

import pytest

from devicemodel.insert import Inserted, insert
from devicemodel.move import move
from devicemodel.place import place
from devicemodel.ready import ready, report
from devicemodel.verify import verify
from handoff.addresses import Gpa, GpaRange
from handoff.errors import DigestMismatch
from handoff.report import When, check_report, decode_report, encode_report
from tests.builders import FIXED, RAMDISK, RELOCATABLE, Guest
from tests.devicemodel.handover import Staged, discovered

STAGED = Staged(RELOCATABLE.build(), 0x400000, RAMDISK, 0x600000)


def inserted(guest: Guest, staged: Staged = STAGED) -> Inserted:
    placed = place(verify(discovered(guest, staged), guest.ram))
    return insert(move(placed, guest.ram), guest.ram)


def test_what_is_as_it_was_put_is_ready(qemu: Guest) -> None:
    done = inserted(qemu)
    assert ready(done, qemu.ram).inserted is done


def test_a_changed_byte_of_anything_that_must_stay_is_found(qemu: Guest) -> None:
    done = inserted(qemu)
    plan = done.moved.placed.plan
    watched = {one.name: one.range for one in done.landed}
    needed = {p.name: p.range for p in plan.placements if p.when is When.NOW}
    assert needed.items() <= watched.items()
    for name, where in watched.items():
        for at in (where.start, Gpa(where.end - 1)):
            (old,) = qemu.ram.read(GpaRange(at, 1))
            qemu.ram.write(at, bytes([old ^ 1]))
            with pytest.raises(DigestMismatch) as mismatch:
                ready(done, qemu.ram)
            assert mismatch.value.image == name
            qemu.ram.write(at, bytes([old]))
    ready(done, qemu.ram)


def test_the_report_tells_all_of_the_plan_in_order_of_address(xen: Guest) -> None:
    done = inserted(xen, Staged(FIXED.build(), 0x400000, RAMDISK, 0x600000, b"quiet"))
    told = report(done)
    assert told.method == "linux 2.12, real-mode entry"
    assert [(p.name, str(p.range), p.when.value) for p in told.placements] == [
        ("setup code", "[0x10000, 0x10c00)", "bev"),
        ("command line", "[0x20000, 0x20006)", "bev"),
        ("BIOS extension", "[0xc8000, 0xc8a00)", "now"),
        ("kernel", "[0x100000, 0x112345)", "bev"),
        ("unpacked kernel", "[0x100000, 0x140000)", "run"),
        ("kernel", "[0x200000, 0x212345)", "now"),
        ("parameter block", "[0x1ff2000, 0x1ff3000)", "now"),
        ("command line", "[0x1ff3000, 0x1ff3006)", "now"),
        ("setup code", "[0x1ff4000, 0x1ff4c00)", "now"),
        ("ramdisk", "[0x1ff5000, 0x1fff321)", "now"),
    ]
    assert told.rom == done.rom
    assert told.moves == done.moved.moves
    assert told.released_bytes == done.moved.released_bytes


def test_the_report_is_one_the_toolstack_believes(qemu: Guest) -> None:
    told = report(inserted(qemu))
    assert decode_report(encode_report(told, 7)) == (7, told)
    check_report(told, [region.range for region in qemu.regions])
