"""The images of `ramdisk=`: one, or several with a command line each, as QEMU's -initrd has them.

A comma stands between two images, two commas stand for one in a name or an argument. A space ends
the file's name, two spaces stand for one in it; that is ours, QEMU has no such name here.
Source: QEMU, docs of -initrd "file1 arg=foo,file2"; util/qemu-option.c for the commas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """An image beside the kernel."""

    path: str
    arguments: str = ""
    """what the kernel is told with it"""


def split_modules(text: str) -> tuple[ModuleFile, ...]:
    """The images that `text` names, in order; one with an empty path where a name is missing."""
    # Commas pair up from the left: of three the last one separates.
    pieces = re.split(r"(,,|,)", text)
    parts = [""]
    for piece in pieces:
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += "," if piece == ",," else piece
    return tuple(_module(part) for part in parts)


def _module(text: str) -> ModuleFile:
    # Spaces pair up from the left, as commas do.
    path = ""
    for piece in re.split(r"(  | )", text):
        if piece == " ":
            break
        path += " " if piece == "  " else piece
    else:
        return ModuleFile(path)
    return ModuleFile(path, text[len(path.replace(" ", "  ")) + 1 :])
