from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from devicemodel.bios_extension.block import CountForm, E820Format
from devicemodel.images.boot_params import boot_params, memory_map_of, rsdp_of
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from handoff.addresses import Gpa
from tests.builders import RELOCATABLE, BzImage


def page_of(image: BzImage, **values: int) -> bytes:
    setup = image.setup()
    header = read_setup_header(setup[:HEAD_BYTES], len(image.build()))
    return boot_params(setup, header, values)


def test_the_page_is_the_images_header_among_zeros() -> None:
    page, setup = page_of(RELOCATABLE), RELOCATABLE.setup()
    assert len(page) == 4096
    assert page[0x1F1:0x26C] == setup[0x1F1:0x26C]
    assert not any(page[0x12:0x1F1])
    assert not any(page[0x26C:])


def test_the_sentinel_stays_clear_of_the_files_bytes() -> None:
    """Set, it makes the kernel wipe what a loader filled in: the files have 0xff there."""
    setup = bytearray(RELOCATABLE.setup())
    setup[0x1EF] = 0xFF
    header = read_setup_header(bytes(setup[:HEAD_BYTES]), len(RELOCATABLE.build()))
    assert boot_params(bytes(setup), header, {})[0x1EF] == 0


def test_nothing_behind_the_header_comes_along() -> None:
    """Of iPXE the jump spans text where version 2.07 has no fields."""
    page = page_of(replace(RELOCATABLE, version=0x207, jump=0xFFEB))
    assert page[0x247:0x248] == RELOCATABLE.setup()[0x247:0x248]
    assert not any(page[0x248:])


def test_values_are_written_into_the_header() -> None:
    page = page_of(RELOCATABLE, cmd_line_ptr=0x11223344, ramdisk_size=0x55667788)
    assert struct.unpack_from("<I", page, 0x228) == (0x11223344,)
    assert struct.unpack_from("<I", page, 0x21C) == (0x55667788,)


def test_a_list_of_setup_data_that_the_image_has_is_kept() -> None:
    page = page_of(replace(RELOCATABLE, setup_data=0x1122334455667788))
    assert struct.unpack_from("<Q", page, 0x250) == (0x1122334455667788,)


@pytest.mark.parametrize(
    ("offset", "size", "value"),
    [
        pytest.param(0x00, 1, 0, id="orig_x"),
        pytest.param(0x01, 1, 24, id="orig_y"),
        pytest.param(0x02, 2, 0, id="ext_mem_k"),
        pytest.param(0x04, 2, 0, id="orig_video_page"),
        pytest.param(0x06, 1, 3, id="orig_video_mode"),
        pytest.param(0x07, 1, 80, id="orig_video_cols"),
        pytest.param(0x0A, 2, 3, id="orig_video_ega_bx"),
        pytest.param(0x0E, 1, 25, id="orig_video_lines"),
        pytest.param(0x0F, 1, 1, id="orig_video_isVGA"),
        pytest.param(0x10, 2, 16, id="orig_video_points"),
    ],
)
def test_the_screen_is_a_vga_in_text_mode(offset: int, size: int, value: int) -> None:
    assert int.from_bytes(page_of(RELOCATABLE)[offset : offset + size], "little") == value


def test_the_firmwares_map_and_tables_have_their_places_in_the_page() -> None:
    collection = memory_map_of(Gpa(0x10000))
    assert (collection.format, collection.count_form) == (E820Format.BARE, CountForm.U8_RECORDS)
    assert (collection.records, collection.count) == (0x102D0, 0x101E8)
    assert collection.records + 128 * 20 == 0x10CD0
    assert rsdp_of(Gpa(0x10000)) == 0x10070
