"""The command line. Standard output is the guest's console, standard error is ours."""

from __future__ import annotations

import math
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from handoff.confinement import Mode
from handoff.descriptor import BootMethod
from handoff.errors import ConfigError, HandoffError, ImageError, InternalError
from handoff.platforms import Platform
from handoff.store_values import Carrier
from toolstack.config import GuestConfig, read_config
from toolstack.console import Console, open_serial_file
from toolstack.create import Outcome, Request, create
from toolstack.device_model import DEFAULT_PROGRAM
from toolstack.guest_run import Patience
from toolstack.json_lines import JsonProgress
from toolstack.load import LoadMethod
from toolstack.machine.choose import MachineChoice, choose_machine
from toolstack.progress import Progress
from toolstack.single_error import innermost
from toolstack.terminal import TextProgress

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_MAX_BYTES = 1 << 20
"""Longest guest configuration read."""


def _choice(kind: type[Any]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


def _common(command: F) -> F:
    """The options that `create` and `demo` share."""
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
            default="xen-hvm",
            show_default=True,
            help="whose firmware the placement keeps clear of",
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
            help="confinement of device model and emulator; strict: all layers or nothing",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=None,
            metavar="S",
            help="end the guest, and fail, if it has not ended after S seconds "
            "(with --machine none: keep it so long)",
        ),
        click.option(
            "--silence",
            type=click.FloatRange(min=0),
            default=60.0,
            show_default=True,
            metavar="S",
            help="the same if it has not printed anything after S seconds; 0: no limit",
        ),
        click.option(
            "--stage-timeout",
            type=click.FloatRange(min=0, min_open=True),
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
            "--device-model",
            "device_model",
            default=None,
            metavar="COMMAND",
            help="start COMMAND in the place of our device model (it speaks docs/protocol.md)",
        ),
        click.option("--json", "json_", is_flag=True, help="progress as JSON lines"),
        click.option(
            "--json-file",
            type=click.File("w"),
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stubdom-direct-boot")
def cli() -> None:
    """Dom0's side of direct kernel boot with the device model in a stub domain."""


@cli.command("create")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@_common
def create_command(config: Path, settings: tuple[str, ...], **options: Any) -> None:
    """Boot the guest that CONFIG, an xl.cfg(5) file, describes.

    KEY=VALUE after it overrides the file, as with xl. The guest's serial console is standard
    output; the exit status is 0 when the guest powered off (docs/config.md lists the others).
    """

    def guest(progress: Progress) -> GuestConfig:
        text = _read_text(config)
        parsed, warnings = read_config(text, str(config), settings)
        for warning in warnings:
            progress.warning(str(warning))
        return parsed

    _run(guest, options)


@cli.command("demo")
@click.option("--linux", is_flag=True, help="a Debian kernel and initrd (see `make images`)")
@_common
def demo_command(linux: bool, **options: Any) -> None:
    """Hand a guest across without a configuration: the built-in one, or Linux."""
    from toolstack.demo import builtin_guest, linux_guest

    if linux:
        if options["machine"] == "auto":
            options["machine"] = "qemu"
    else:
        options["maps"] = True
        if options["machine"] == "auto":
            options["machine"] = "emulator"
    _run(lambda _: linux_guest() if linux else builtin_guest(), options)


@cli.command("cleanup")
@click.option(
    "--xenstore",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="RUNDIR",
    help="also remove leftover domains from the xenstore-sim that runs there",
)
def cleanup_command(xenstore: Path | None) -> None:
    """Remove what a killed toolstack left: run directories, and domains in xenstore."""
    from toolstack.cleanup import cleanup

    try:
        for line in trio.run(cleanup, xenstore):
            click.echo(line, err=True)
    except HandoffError as error:
        TextProgress().failed(error)
        sys.exit(error.exit_code)


def main() -> None:
    """Entry point of the `toolstack` program."""
    cli(prog_name="toolstack")


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(CONFIG_MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"configuration {path}: {error.strerror}: name a readable file") from error
    if len(data) > CONFIG_MAX_BYTES:
        raise ImageError(f"configuration {path}: longer than {CONFIG_MAX_BYTES} bytes")
    # xl takes bytes as they are; so do paths and command lines here.
    return data.decode("utf-8", "surrogateescape")


def _progress(options: dict[str, Any]) -> Progress:
    text = TextProgress(verbose=options["verbose"], quiet=options["quiet"], maps=options["maps"])
    if options["json_"]:
        return JsonProgress(sys.stderr)
    if options["json_file"] is not None:
        from toolstack.tee import Tee

        return Tee((text, JsonProgress(options["json_file"])))
    return text


def _run(guest: Callable[[Progress], GuestConfig], options: dict[str, Any]) -> None:
    progress = _progress(options)
    try:
        config = guest(progress)
        request = _request(config, options, progress)
        fd = 1 if config.serial_file is None else open_serial_file(Path(config.serial_file))
        status = trio.run(_until_signalled, partial(create, request, progress, Console(fd)))
    except HandoffError as error:
        progress.failed(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except Exception as error:
        # Not to carry on, but to end with words: the traceback is for whoever asks for it.
        if options["verbose"]:
            traceback.print_exc()
        fault = InternalError(f"{innermost(error)!r}: a fault of ours, show it with --verbose")
        progress.failed(fault)
        status = fault.exit_code
    sys.exit(status)


def _request(config: GuestConfig, options: dict[str, Any], progress: Progress) -> Request:
    sandbox = Mode(options["sandbox"])
    choice = MachineChoice(options["machine"])
    patience = Patience(options["silence"] or None, options["timeout"])
    if choice is MachineChoice.NONE:
        patience = Patience(None, None)
    log = partial(progress.log, "machine")
    return Request(
        config=config,
        machine=choose_machine(choice, sandbox, options["timeout"] or math.inf, log),
        patience=patience,
        carrier=Carrier(options["carrier"]),
        platform=Platform(options["platform"]),
        boot=BootMethod.AUTO,
        native=options["native"],
        load_method=LoadMethod(options["load_method"]),
        sandbox=sandbox,
        tries=options["tries"],
        stage_timeout_s=options["stage_timeout"],
        xenstore=options["xenstore"],
        device_model_program=_program(options["device_model"]),
    )


def _program(command: str | None) -> Sequence[str]:
    if command is None:
        return DEFAULT_PROGRAM
    words = shlex.split(command)
    if not words or shutil.which(words[0]) is None:
        raise ConfigError(f"--device-model {command!r}: no such program: name one in PATH")
    return words


async def _until_signalled(work: Callable[[], Any]) -> int:
    """Runs `work`; a termination signal cancels it in order. Returns the exit status."""
    caught: list[int] = []

    async def watch(scope: trio.CancelScope, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                caught.append(number)
                scope.cancel()

    outcome: list[Outcome] = []
    problem: HandoffError | None = None
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            await nursery.start(watch, scope)
            try:
                outcome.append(await work())
            except HandoffError as error:
                problem = error
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return 0 if outcome else 128 + caught[0]
