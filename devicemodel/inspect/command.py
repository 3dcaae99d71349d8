"""The command line of `devicemodel inspect`: opens the files, is confined, looks, prints."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from devicemodel.discover import HostFiles, Native
from devicemodel.host_files import open_image
from devicemodel.images.firmware import FirmwareSources
from devicemodel.images.source import Image
from devicemodel.inspect.findings import Findings, Refusal
from devicemodel.inspect.json_form import to_json
from devicemodel.inspect.look import MEMORY_MIN_MIB, inspect
from devicemodel.inspect.question import Question, found, no_guest
from devicemodel.inspect.text import to_text
from devicemodel.rom_option import add_option_rom, option_roms
from handoff.confinement import ConfinementError, Mode, Profile, State, confine, prepare
from handoff.descriptor import CMDLINE_MAX_BYTES, BootMethod, EntryMode, Role, Subarch
from handoff.errors import ConfigError, ConfinementFailed
from handoff.modules import ModuleFile, split_modules
from handoff.platforms import Platform

MEMORY_MAX_MIB = 1 << 20


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 if it would be started, else that of its refusal.

    Raises: HandoffError for a question that cannot be asked.
    """
    options = parser().parse_args(argv)
    with no_guest() as ram:
        question = _question(options)
        images = found(question, ram).sources.images
        _confine(options.sandbox, [image.file.fileno() for image in images])
        findings = inspect(question, ram)
    _write(1, to_json(findings) if options.json else to_text(findings))
    return _exit_code(findings)


def parser() -> argparse.ArgumentParser:
    """The options, with the toolstack's spelling where it has the option."""
    out = argparse.ArgumentParser(
        prog="devicemodel inspect",
        allow_abbrev=False,
        description="What the device model would do with an image, and why: its header, the boot "
        "method, the placement, the steps of the BIOS extension, the state at the entry, and what "
        "would be refused. It looks at the image confined, as a boot does.",
    )
    out.add_argument(
        "file", type=Path, metavar="FILE", help="the kernel, or a BIOS with --boot firmware"
    )
    out.add_argument(
        "--firmware", default=None, metavar="FILE", help="hvmloader, which starts the BIOS on Xen"
    )
    out.add_argument(
        "--ramdisk",
        default=None,
        metavar="FILE[,FILE]",
        help="images beside it, with arguments behind a space as in ramdisk=",
    )
    out.add_argument("--cmdline", default="", metavar="TEXT", help="command line of the kernel")
    _choice(out, "--platform", Platform, Platform.XEN_HVM, "whose firmware to keep clear of")
    out.add_argument(
        "--memory", type=_memory, default=512, metavar="MIB", help="of the guest (default: 512)"
    )
    _choice(out, "--boot", BootMethod, BootMethod.AUTO, "method to start it by")
    _choice(out, "--entry", EntryMode, EntryMode.AUTO, "mode in which Linux is entered")
    _choice(out, "--subarch", Subarch, Subarch.PC, "hardware_subarch that Linux is told")
    add_option_rom(out)
    out.add_argument("--json", action="store_true", help="one object, for programs")
    _choice(out, "--sandbox", Mode, Mode.AUTO, "confinement of this process")
    return out


def _choice(
    out: argparse.ArgumentParser,
    name: str,
    kind: type[Platform] | type[BootMethod] | type[EntryMode] | type[Subarch] | type[Mode],
    default: Platform | BootMethod | EntryMode | Subarch | Mode,
    text: str,
) -> None:
    words = ",".join(member.value for member in kind)
    out.add_argument(
        name,
        type=kind,
        choices=list(kind),
        default=default,
        metavar=f"{{{words}}}",
        help=f"{text} (default: {default.value})",
    )


def _memory(text: str) -> int:
    if not text.isdecimal() or not MEMORY_MIN_MIB <= int(text) <= MEMORY_MAX_MIB:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of MiB from {MEMORY_MIN_MIB} to {MEMORY_MAX_MIB}"
        )
    return int(text)


def _question(options: argparse.Namespace) -> Question:
    cmdline = os.fsencode(options.cmdline)
    if len(cmdline) > CMDLINE_MAX_BYTES:
        raise ConfigError(
            f"--cmdline has {len(cmdline)} bytes, at most {CMDLINE_MAX_BYTES} are carried: "
            "shorten it"
        )
    return Question(
        _files(options),
        cmdline,
        options.platform,
        options.memory,
        options.boot,
        options.entry,
        options.subarch,
        option_roms(options),
    )


def _files(options: argparse.Namespace) -> Native:
    """Raises: ImageError for one that cannot be read, ConfigError for one of no use."""
    asked = ModuleFile(str(options.file))
    if options.boot is BootMethod.FIRMWARE:
        if options.ramdisk is not None:
            raise ConfigError("--ramdisk is for a kernel, firmware boots without one: remove it")
        loader = None if options.firmware is None else ModuleFile(options.firmware)
        return FirmwareSources(
            _open(Role.BIOS, asked), None if loader is None else _open(Role.FIRMWARE, loader)
        )
    if options.firmware is not None:
        raise ConfigError("--firmware is for --boot firmware: remove it, or name a BIOS")
    named = () if options.ramdisk is None else split_modules(options.ramdisk)
    images = [
        _open(Role.MODULE if number else Role.RAMDISK, module)
        for number, module in enumerate(named)
    ]
    kernel = _open(Role.KERNEL, asked)
    return HostFiles(kernel, images[0] if images else None, tuple(images[1:]))


def _open(role: Role, named: ModuleFile) -> Image:
    return open_image(role, Path(named.path), named.arguments)


def _confine(mode: Mode, files: Sequence[int]) -> None:
    """Raises: ConfinementFailed if `mode` is STRICT and a layer is missing."""
    try:
        report = confine(prepare(mode=mode, keep_fds=[*files, 1, 2]), Profile.DEVICE_MODEL)
    except ConfinementError as error:
        raise ConfinementFailed(str(error)) from error
    for outcome in report.in_state(State.UNAVAILABLE):
        _write(2, f"sandbox: {outcome.line()}\n")


def _exit_code(findings: Findings) -> int:
    return findings.outcome.exit_code if isinstance(findings.outcome, Refusal) else 0


def _write(fd: int, text: str) -> None:
    """All of `text`; what a reader that has gone does not take is dropped."""
    data = text.encode("ascii")
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(fd, data) :]
