from __future__ import annotations

from pathlib import Path

import pytest

from toolstack.images.__main__ import main, table
from toolstack.images.build import Image


def test_table_lines_up() -> None:
    images = (
        Image("a", "package_1", Path("/a"), 5),
        Image("initrd.img", "package_2", Path("/b"), 1_000_000),
    )
    assert table(images).splitlines() == [
        "a                   5 bytes  package_1",
        "initrd.img  1,000,000 bytes  package_2",
    ]


def test_refusal_is_one_line_and_the_exit_status_of_an_image_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["vmlinux"]) == 11
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("images: no image 'vmlinux' is known: ")
    assert output.err.count("\n") == 1
