"""The command line. Standard output is the guest's console, standard error is ours."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from handoff.confinement import Mode
from handoff.descriptor import BootMethod, EntryMode, Subarch
from handoff.errors import ConfigError, HandoffError, ImageError, InternalError
from handoff.platforms import Platform
from handoff.single_error import innermost, single_error
from handoff.store_values import Carrier
from toolstack.config import GuestConfig, read_config
from toolstack.console import Console, open_serial_file
from toolstack.create import Outcome, Request, create
from toolstack.device_model import DEFAULT_PROGRAM
from toolstack.domain_connection import StoreTransport
from toolstack.early_start import WaitingProcess
from toolstack.guest_run import Patience
from toolstack.isolation.options import IsolationRequest, isolation_options
from toolstack.json_lines import JsonProgress
from toolstack.load import LoadMethod
from toolstack.machine.choose import MachineChoice, choose_machine
from toolstack.option_roms import RomChoice, rom_arguments
from toolstack.options import boot_options
from toolstack.patient_stream import patient
from toolstack.progress import Progress
from toolstack.tee import Tee
from toolstack.terminal import TextProgress

CONFIG_MAX_BYTES = 1 << 20
"""Longest guest configuration read."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stubdom-direct-boot")
def cli() -> None:
    """Dom0's side of direct kernel boot with the device model in a stub domain."""


@cli.command("create")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@boot_options
def create_command(config: Path, settings: tuple[str, ...], **options: Any) -> None:
    """Boot the guest that CONFIG, an xl.cfg(5) file, describes.

    KEY=VALUE after it overrides the file, as with xl. The guest's serial console is standard
    output; the exit status is 0 when the guest powered off (docs/config.md lists the others).
    """

    def guest(progress: Progress) -> GuestConfig:
        text = _read_text(config)
        parsed, warnings = read_config(text, str(config), settings)
        on_xen = options["machine"] == MachineChoice.XEN.value
        for warning in warnings:
            if not (on_xen and warning.left_to_libxl):
                progress.warning(str(warning))
        return parsed

    _run(guest, options)


@cli.command("demo")
@click.option("--linux", is_flag=True, help="a Debian kernel and initrd (see `make images`)")
@boot_options
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
@click.option(
    "--machine",
    type=click.Choice([MachineChoice.XEN.value]),
    default=None,
    help="also destroy the domains that killed toolstacks left on this Xen host",
)
def cleanup_command(xenstore: Path | None, machine: str | None) -> None:
    """Remove what a killed toolstack left: run directories, and domains."""
    from toolstack.cleanup import cleanup

    async def work() -> None:
        await cleanup(xenstore, partial(click.echo, err=True), on_xen=machine is not None)

    sys.exit(_ended(partial(trio.run, work), TextProgress(), verbose=False))


@cli.command("isolation")
@isolation_options
def isolation_command(**options: Any) -> None:
    """Let a hostile device model try to reach out of its stub domain, and show what stops it.

    Everything it reaches for is put up for that. The exit status is 1 if anything got through.
    """
    asked = IsolationRequest.of(**options)
    progress = TextProgress()
    status: list[int] = []

    async def work() -> None:
        if asked.config is not None:
            from toolstack.isolation.xen.command import isolation_on_xen

            config, _ = read_config(_read_text(asked.config), str(asked.config))
            judged = isolation_on_xen(config, asked.beside, progress, json=asked.json)
            status.append(await judged)
        else:
            from toolstack.isolation.command import isolation

            status.append(await isolation(json=asked.json, ablate=asked.ablate))

    def run_it() -> int:
        return trio.run(_until_signalled, work) or status[0]

    sys.exit(_ended(run_it, progress, verbose=False))


def run(waiting: WaitingProcess | None) -> None:
    """Runs the command line; ends the process.

    waiting: a device model that was started ahead.
    """
    try:
        sys.exit(cli.main(prog_name="toolstack", obj=waiting, standalone_mode=False))
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "toolstack"
        text = " ".join(error.format_message().split())
        click.echo(f"toolstack: error: {text} (see {command} --help)", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)


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
    shown: Progress
    stderr = patient(sys.stderr)
    if options["json_"]:
        shown = JsonProgress(stderr)
    else:
        shown = TextProgress(
            stderr, verbose=options["verbose"], quiet=options["quiet"], maps=options["maps"]
        )
    if options["json_file"] is None:
        return shown
    return Tee((shown, JsonProgress(patient(options["json_file"]))))


def _run(guest: Callable[[Progress], GuestConfig], options: dict[str, Any]) -> None:
    progress = _progress(options)

    def work() -> int:
        config = guest(progress)
        request = _request(config, options, progress)
        console = Console(1)
        if config.serial_file is not None:
            console = Console(open_serial_file(Path(config.serial_file)), empty_first=True)
        return trio.run(_until_signalled, partial(create, request, progress, console))

    sys.exit(_ended(work, progress, verbose=options["verbose"]))


def _ended(work: Callable[[], int | None], progress: Progress, *, verbose: bool) -> int:
    """Does `work`; the exit status for how it ended. No traceback unless `verbose`."""
    try:
        with single_error():
            return work() or 0
    except HandoffError as error:
        problem = error
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        # Not to carry on, but to end with words: the traceback is for whoever asks for it.
        if verbose:
            traceback.print_exc()
        problem = InternalError(f"{innermost(error)!r}: a fault of ours, show it with --verbose")
    progress.failed(problem)
    return problem.exit_code


def _request(config: GuestConfig, options: dict[str, Any], progress: Progress) -> Request:
    sandbox = Mode(options["sandbox"])
    choice = MachineChoice(options["machine"])
    if choice is MachineChoice.XEN:
        _refuse_simulated(options)
        if config.device_model_stubdomain_override:
            _refuse_of_dom0(options)
    patience = Patience(options["silence"] or None, options["timeout"])
    if choice is MachineChoice.NONE:
        patience = Patience(None, None)
    rom_words = _rom_words(options)
    if rom_words and choice is MachineChoice.AUTO:
        choice = MachineChoice.EMULATOR
    log = partial(progress.log, "machine")
    return Request(
        config=config,
        machine=choose_machine(choice, sandbox, options["timeout"] or math.inf, log),
        patience=patience,
        carrier=Carrier(options["carrier"]),
        platform=_platform(config, options),
        boot=BootMethod(options["boot"]),
        entry=EntryMode(options["entry"]),
        subarch=Subarch(options["subarch"]),
        native=options["native"],
        load_method=LoadMethod(options["load_method"]),
        sandbox=sandbox,
        tries=options["tries"],
        stage_timeout_s=options["stage_timeout"],
        xenstore=options["xenstore"],
        stubdom_xenstore=StoreTransport(options["stubdom_xenstore"]),
        rom_words=rom_words,
        device_model_program=_program(options["device_model"]),
        waiting=click.get_current_context().find_object(WaitingProcess),
    )


def _refuse_simulated(options: dict[str, Any]) -> None:
    """Raises: ConfigError for an option that a real host takes out of our hands."""
    refused = (
        ("platform", Platform.QEMU_PC.value, "a domain of Xen starts in hvmloader"),
        ("xenstore", options["xenstore"], "the host has one xenstored"),
        ("stubdom_xenstore", StoreTransport.RING.value, "the host's kernel has the ring"),
    )
    for name, value, reason in refused:
        if value is not None and options[name] == value:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} {value}: {reason}: leave it away with --machine xen")


def _refuse_of_dom0(options: dict[str, Any]) -> None:
    """Raises: ConfigError for an option that a device model in a stub domain cannot follow."""
    program = options["device_model"]
    refused = (
        ("--native", options["native"], "has none of dom0's files"),
        (f"--device-model {program}", program is not None, "runs what its initramfs has"),
    )
    for option, given, reason in refused:
        if given:
            raise ConfigError(
                f"{option}: a stub domain {reason}: leave it away, or set "
                "device_model_stubdomain_override=0"
            )


def _platform(config: GuestConfig, options: dict[str, Any]) -> Platform:
    """The machines here are PCs: without a hypervisor, Xen's firmware would boot nothing."""
    if options["platform"] is not None:
        return Platform(options["platform"])
    on_xen = MachineChoice(options["machine"]) is MachineChoice.XEN
    return Platform.QEMU_PC if config.kernel is None and not on_xen else Platform.XEN_HVM


def _rom_words(options: dict[str, Any]) -> tuple[str, ...]:
    """The device model's words for ROMs of QEMU, none for our own. Raises: ConfigError."""
    if RomChoice(options["rom"]) is RomChoice.OWN:
        if options["rom_file"] is not None:
            raise ConfigError("--rom-file is for --rom qemu: add that, or leave both away")
        return ()
    machine = options["machine"]
    if MachineChoice(machine) not in (MachineChoice.AUTO, MachineChoice.EMULATOR):
        raise ConfigError(
            f"--rom qemu: with --machine {machine} no port access reaches the device model "
            "(QEMU serves its ROMs a fw_cfg of its own): take --machine emulator"
        )
    return rom_arguments(options["rom_file"])


def _program(command: str | None) -> Sequence[str]:
    if command is None:
        return DEFAULT_PROGRAM
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(
            f"--device-model {command!r}: {error}: quote it as for a shell"
        ) from error
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise ConfigError(f"--device-model {command!r}: no such program: name one in PATH")
    # It is started in another directory and without PATH.
    return (os.path.abspath(program), *words[1:])


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
