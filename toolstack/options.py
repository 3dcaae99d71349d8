"""The options that every command shares which boots a guest."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from handoff.confinement import Mode
from handoff.descriptor import BootMethod, EntryMode, Subarch
from handoff.platforms import Platform
from handoff.store_values import Carrier
from toolstack.domain_connection import StoreTransport
from toolstack.load import LoadMethod
from toolstack.machine.choose import MachineChoice
from toolstack.option_roms import RomChoice

F = TypeVar("F", bound=Callable[..., Any])


class _Seconds(click.FloatRange):
    """A number of seconds; of `nan` a range of floats takes notice of neither bound."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


def _choice(kind: type[Any]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


def boot_options(command: F) -> F:
    """`command` with these options."""
    options = [
        click.option(
            "--machine",
            type=_choice(MachineChoice),
            default="auto",
            show_default=True,
            help="what runs the guest; auto: qemu where installed, else emulator",
        ),
        click.option(
            "--carrier",
            type=_choice(Carrier),
            default="xenstore",
            show_default=True,
            help="how the descriptor travels to the device model",
        ),
        click.option(
            "--native",
            is_flag=True,
            help="the device model reads the host's files itself, as QEMU in dom0 does",
        ),
        click.option(
            "--platform",
            type=_choice(Platform),
            default=None,
            show_default="xen-hvm; without kernel= qemu-pc",
            help="whose firmware the placement keeps clear of, or is to boot",
        ),
        click.option(
            "--boot",
            type=_choice(BootMethod),
            default="auto",
            show_default=True,
            help="how to start the kernel; auto: the device model looks",
        ),
        click.option(
            "--entry",
            type=_choice(EntryMode),
            default="auto",
            show_default=True,
            help="mode in which a Linux kernel is entered; auto: real, as its setup code wants",
        ),
        click.option(
            "--subarch",
            type=_choice(Subarch),
            default="pc",
            show_default=True,
            help="hardware_subarch of a Linux kernel; xen: with a pointer to hvm_start_info "
            "(a kernel that knows the number and lacks the code stops)",
        ),
        click.option(
            "--rom",
            type=_choice(RomChoice),
            default="own",
            show_default=True,
            help="option ROM that starts the kernel; qemu: QEMU's own, unmodified, served by the "
            "device model through fw_cfg (--machine emulator only)",
        ),
        click.option(
            "--rom-file",
            type=click.Path(path_type=Path),
            default=None,
            metavar="FILE",
            help="the same with this ROM of QEMU; without it the one that is installed",
        ),
        click.option(
            "--load",
            "load_method",
            type=_choice(LoadMethod),
            default="kernel",
            show_default=True,
            help="copy images through a small buffer or inside the kernel",
        ),
        click.option(
            "--sandbox",
            type=_choice(Mode),
            default="auto",
            show_default=True,
            help="confinement of device model and emulator; strict: refuse to run without a layer",
        ),
        click.option(
            "--timeout",
            type=_Seconds(min=0, min_open=True),
            default=None,
            metavar="S",
            help="end the guest, and fail, if it has not ended after S seconds "
            "(with --machine none: keep it so long)",
        ),
        click.option(
            "--silence",
            type=_Seconds(min=0),
            default=60.0,
            show_default=True,
            metavar="S",
            help="the same if it has not printed anything after S seconds; 0: no limit",
        ),
        click.option(
            "--stage-timeout",
            type=_Seconds(min=0, min_open=True),
            default=30.0,
            show_default=True,
            metavar="S",
            help="longest wait for each stage of the device model",
        ),
        click.option(
            "--tries",
            type=click.IntRange(1, 100),
            default=3,
            show_default=True,
            help="device models to start before giving up",
        ),
        click.option(
            "--xenstore",
            type=click.Path(path_type=Path, file_okay=False),
            default=None,
            metavar="RUNDIR",
            help="use the xenstore-sim that runs there; without it one of our own",
        ),
        click.option(
            "--stubdom-xenstore",
            type=_choice(StoreTransport),
            default="socket",
            show_default=True,
            help="how the stub domain reaches xenstored: ring is the shared page of real domains",
        ),
        click.option(
            "--device-model",
            "device_model",
            default=None,
            metavar="COMMAND",
            help="start COMMAND in the place of our device model (it speaks docs/protocol.md)",
        ),
        click.option(
            "--json",
            "json_",
            is_flag=True,
            help="progress as JSON lines, all of it",
        ),
        click.option(
            "--json-file",
            type=click.File("w", lazy=False),
            default=None,
            metavar="FILE",
            help="JSON lines to FILE, text to standard error as usual",
        ),
        click.option("-v", "--verbose", is_flag=True, help="show the logs of all processes"),
        click.option("-q", "--quiet", is_flag=True, help="warnings and errors only"),
        click.option("--map", "maps", is_flag=True, help="show the memory map before and after"),
    ]
    for option in reversed(options):
        command = option(command)
    return command
