from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.auto import Kernel, recognise
from devicemodel.images.source import host_image
from handoff.descriptor import BootMethod, Role
from handoff.errors import LayoutError
from tests.builders import RELOCATABLE, host_file, outcome


def seen(content: bytes, method: BootMethod = BootMethod.AUTO) -> Kernel:
    with host_file(content) as file:
        return recognise(host_image(Role.KERNEL, file), method)


@pytest.mark.parametrize("method", BootMethod)
@pytest.mark.parametrize("setup_sects", [1, 5, 63])
def test_a_bzimage_is_taken_apart_into_setup_and_payload(
    method: BootMethod, setup_sects: int
) -> None:
    image = replace(RELOCATABLE, setup_sects=setup_sects)
    kernel = seen(image.build(), method)
    assert kernel.setup == image.setup()
    assert (kernel.payload.offset, kernel.payload.size) == (
        image.setup_bytes,
        image.payload_bytes,
    )


def test_a_file_of_no_known_format_is_refused_with_what_is_there() -> None:
    for content, found in ((b"MZ" + bytes(0x1000), "00000000"), (b"x", "missing")):
        with pytest.raises(LayoutError, match=f"0x202 is {found}: no known boot method"):
            seen(content)


def test_a_method_the_operator_forces_names_its_own_field() -> None:
    with pytest.raises(LayoutError, match=r"setup_header\.boot_flag"):
        seen(bytes(0x1000), BootMethod.LINUX)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 0x201}, "version"),
        ({"version": 0x200}, "version"),
        ({"loadflags": 0x80}, "loadflags"),
        ({"relocatable_kernel": 0, "pref_address": 0xFFFFF}, "pref_address"),
    ],
)
def test_a_kernel_of_a_kind_not_started_here_is_refused(change: dict[str, int], field: str) -> None:
    with pytest.raises(LayoutError) as refused:
        seen(replace(RELOCATABLE, **change).build())  # type: ignore[arg-type]
    assert refused.value.field == f"kernel setup_header.{field}"


def test_a_file_cut_anywhere_before_its_kernel_is_refused() -> None:
    image = replace(RELOCATABLE, setup_sects=1).build()
    for size in range(1, 1025):
        with pytest.raises(LayoutError):
            seen(image[:size])
    assert seen(image).payload.size == len(image) - 1024


@given(st.binary(min_size=1, max_size=0x500), st.sampled_from(BootMethod), st.booleans())
def test_any_file_gives_a_kernel_or_a_layout_error(
    content: bytes, method: BootMethod, magic: bool
) -> None:
    image = RELOCATABLE.build()[:0x208] + content if magic else content
    kernel = outcome(lambda: seen(image, method), LayoutError)
    if isinstance(kernel, LayoutError):
        assert str(kernel).isprintable()
    else:
        assert len(kernel.setup) + kernel.payload.size == len(image)
