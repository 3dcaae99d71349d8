"""A stub domain's initramfs that runs the hostile program where it would run the device model.

An archive with the program goes in front of the operator's own, whose /init stays what it is: it
starts `python3 -m devicemodel`, and finds by PYTHONPATH, which Linux hands to it from its command
line, a `devicemodel` that is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import toolstack
from handoff.errors import ImageError
from toolstack.images.cpio import Entry, archive, directory, regular

FOLDER: Final = "isolation"
ENVIRONMENT: Final = f"PYTHONPATH=/{FOLDER}"
"""What Linux does not know on its command line it puts into its init's environment."""
_PACKAGES: Final = ("isolation/stubdom", "isolation/stubdom/attempts")
_FILES: Final = (
    "__init__.py",
    *(
        f"isolation/{name}.py"
        for name in (
            *("__init__", "attempt", "position", "promises", "surroundings", "voice", "wire"),
        )
    ),
)
"""Beside the packages, what they import of toolstack."""
_IN_ITS_PLACE: Final = f"{FOLDER}/devicemodel/__main__.py"
_PROGRAM: Final = b"from toolstack.isolation.stubdom.hostile import main\n\nmain()\n"


def hostile_ramdisk(ramdisk: bytes) -> bytes:
    """ramdisk: as the operator has it, which may be packed; nothing could follow that."""
    front = archive(entries())
    return front + bytes(-len(front) % 4) + ramdisk


def entries() -> Iterator[Entry]:
    """Of the archive in front, folders before what they hold. Raises: ImageError."""
    root = Path(toolstack.__file__).parent
    files = [root / name for name in _FILES]
    files += [path for name in _PACKAGES for path in sorted((root / name).glob("*.py"))]
    contents = {f"{FOLDER}/toolstack/{path.relative_to(root)}": _read(path) for path in files}
    contents |= {_IN_ITS_PLACE: _PROGRAM, f"{FOLDER}/devicemodel/__init__.py": b""}
    folders = {str(above) for name in contents for above in Path(name).parents} - {"."}
    yield from (directory(folder) for folder in sorted(folders))
    yield from (regular(name, content) for name, content in contents.items())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}: install the toolstack as files") from error
