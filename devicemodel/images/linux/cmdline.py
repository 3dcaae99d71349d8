"""What a boot loader has to know of a Linux command line: its length, and `vga=`."""

from __future__ import annotations

from devicemodel.images.setup_header import SetupHeader
from handoff.errors import ConfigError

VGA_NORMAL = 0xFFFF
_VGA_MODES = {"normal": VGA_NORMAL, "ext": 0xFFFE, "ask": 0xFFFD}


def check_cmdline(cmdline: bytes, header: SetupHeader) -> None:
    """Raises: ConfigError for a line that the kernel would cut."""
    if len(cmdline) > header.cmdline_size:
        raise ConfigError(
            f"cmdline has {len(cmdline)} bytes, this kernel takes {header.cmdline_size} "
            "(setup_header.cmdline_size): shorten cmdline="
        )


def video_mode(cmdline: bytes) -> int | None:
    """The number of the last `vga=`, which only a boot loader can act on; None without.

    Raises: ConfigError if it is none.
    """
    mode = None
    for word in cmdline.split(b" "):
        name, _, value = word.partition(b"=")
        if name == b"vga":
            text = value.decode("ascii", "replace")
            mode = _VGA_MODES.get(text) if text in _VGA_MODES else _number(text)
    return mode


def _number(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFF:
        raise ConfigError(
            f"vga={text!r} in the command line is neither normal, ext, ask nor a mode number "
            "up to 0xffff: correct cmdline="
        )
    return value
