"""The host's files that a command line names (native)."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

from devicemodel.discover import HostFiles, Native
from devicemodel.images.firmware import FirmwareSources
from devicemodel.images.source import Image, host_image
from handoff.descriptor import TABLES, Role
from handoff.errors import ConfigError, ImageError


def host_files(options: argparse.Namespace) -> Native | None:
    """The files that are named, opened while there still is a file system.

    Raises: ConfigError for a set of them that is no boot, ImageError for one that cannot be read.
    """
    if options.bios is not None:
        if options.kernel is not None:
            raise ConfigError("-kernel and -bios: firmware boots without a kernel: name one")
        loader = None
        if options.firmware is not None:
            loader = open_image(Role.FIRMWARE, options.firmware)
        named = ((role, getattr(options, role.value)) for role in TABLES)
        tables = tuple(open_image(role, path) for role, path in named if path is not None)
        return FirmwareSources(open_image(Role.BIOS, options.bios), loader, tables)
    if options.firmware is not None:
        raise ConfigError("--firmware without -bios: name the BIOS that it brings up")
    if options.kernel is None:
        if options.modules:
            raise ConfigError("-initrd without -kernel: name the kernel, too")
        return None
    kernel = open_image(Role.KERNEL, options.kernel)
    if not options.modules:
        return HostFiles(kernel, None)
    arguments = (*options.arguments, *[""] * len(options.modules))
    ramdisk = open_image(Role.RAMDISK, options.modules[0], arguments[0])
    more = zip(options.modules[1:], arguments[1:], strict=False)
    return HostFiles(kernel, ramdisk, tuple(open_image(Role.MODULE, *named) for named in more))


def open_image(role: Role, path: Path, arguments: str = "") -> Image:
    """One of them. Raises: ImageError."""
    try:
        file = io.FileIO(path, "rb")
        return host_image(role, file, os.fsencode(path.name), os.fsencode(arguments))
    except OSError as error:
        raise ImageError(f"{role.value} {path}: {error.strerror}: name a readable file") from error
