"""The F segment and the tables in low memory."""

import struct

from toolstack.machine.emulator.bios import layout


def test_the_reset_vector_jumps_to_the_self_test() -> None:
    image = layout.bios_image()
    assert len(image) == 0x10000
    jump, offset, segment = struct.unpack_from("<BHH", image, 0xFFF0)
    assert (jump, segment) == (0xEA, 0xF000)
    assert (segment << 4) + offset == layout.TRAP_ADDRESSES[layout.POST_TRAP]
    assert image[0xFFFE] == 0xFC


def test_each_vector_points_to_its_own_stub_but_the_users() -> None:
    vectors = struct.unpack("<512H", layout.interrupt_vectors())
    image = layout.bios_image()
    for vector in range(256):
        offset, segment = vectors[2 * vector : 2 * vector + 2]
        if 0x60 <= vector <= 0x67:
            assert (offset, segment) == (0, 0)
        else:
            assert (segment << 4) + offset == layout.TRAP_ADDRESSES[vector]
            assert image[offset : offset + 2] == b"\x90\xcf"


def test_the_pnp_installation_check_is_valid() -> None:
    image = layout.bios_image()
    table = image[layout.PNP_OFFSET : layout.PNP_OFFSET + image[layout.PNP_OFFSET + 5]]
    assert table[:4] == b"$PnP"
    assert (len(table), sum(table) & 0xFF) == (0x21, 0)


def test_the_bios_data_area_names_com1_and_the_ebda() -> None:
    area = layout.bios_data_area()
    (com1,) = struct.unpack_from("<H", area, 0)
    ebda, equipment = struct.unpack_from("<HH", area, 0x0E)
    (kib,) = struct.unpack_from("<H", area, 0x13)
    assert (com1, ebda, kib) == (0x3F8, 0x9FC0, 639)
    assert (ebda << 4) == kib * 1024
    assert equipment == layout.EQUIPMENT
