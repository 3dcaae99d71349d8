"""A trial played and judged: how it ended, and what is wrong with that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf

import trio

from handoff.errors import ALL_ERRORS, InternalError
from tests.faults.guests import placed_digests, wrong_in_ram
from tests.faults.intercept import open_gate
from tests.faults.rig import Rig, machine
from tests.faults.run import PROGRAM, ROOT, Seen, run_toolstack
from tests.faults.strike import Striker
from tests.faults.surroundings import Conditions, conditions
from tests.faults.trial import AtRequest, AtStage, Blow, Kind, Surroundings, Throughout, Trial
from tests.faults.victim import Victim
from tests.faults.xenstored import Xenstored

_CODES = {error.exit_code for error in ALL_ERRORS} - {InternalError.exit_code}
_CLEAN_UP_TRIES = 30
PATIENCE = ("--stage-timeout", "2", "--silence", "8", "--tries", "3")


@dataclass(frozen=True, slots=True)
class Result:
    trial: Trial
    injected: bool
    outcome: str
    status: int | None
    problems: tuple[str, ...]
    swept: bool
    """something was left for `toolstack cleanup`"""
    detail: str
    seconds: float


async def play(trial: Trial, bench: Rig) -> Result:
    """What became of the trial. The bench is as before."""
    began = trio.current_time()
    around = conditions(trial, bench.directory / "run")
    place = trial.cell.place
    store: Xenstored | None = None if isinstance(place, AtStage) else bench.xenstored
    if around.faults:
        rundir = bench.directory / "storm"
        store = Xenstored(rundir, bench.xenstored.log, around.faults)
        await store.start()
    seen = Seen()
    try:
        async with trio.open_nursery() as nursery:
            striker = Striker(
                trial, seen, store or bench.xenstored, bench.boot_s, bench.qemus_life_s, nursery
            )
            bench.intercept.gate = striker.gate
            nursery.start_soon(striker.at_random)
            await run_toolstack(
                _arguments(trial, bench, store, around),
                {**bench.environment, **around.environment},
                seen,
                striker.on_stage,
                prefix=around.prefix,
                out=around.out,
                err=around.err,
            )
            striker.struck = striker.struck or isinstance(place, Throughout)
            injected = striker.struck
            striker.let_all_go_on()
            nursery.cancel_scope.cancel()
        bench.intercept.gate = open_gate
        outcome, wrong = _judge(trial, bench, seen, around, striker.killed_toolstack)
        left, swept = await _look_behind(trial, bench, store, striker)
    finally:
        bench.intercept.gate = open_gate
        seen.close()
        if store is not None and store is not bench.xenstored:
            await store.stop()
    again = await _next_run(bench)
    text = seen.failures[-1]["text"] if seen.failures else ""
    return Result(
        trial,
        injected,
        outcome,
        seen.status,
        (*wrong, *left, *again),
        swept,
        text,
        trio.current_time() - began,
    )


def _arguments(trial: Trial, bench: Rig, store: Xenstored | None, around: Conditions) -> list[str]:
    guest = bench.guests[trial.kind]
    words = ["create", str(guest.config)]
    words += [word for word in around.arguments if word.startswith("serial")]
    words += ["--json", "--machine", machine(trial.kind)]
    words += ["--timeout", "15" if trial.speaks else "0.1"]
    words += [*PATIENCE, "--carrier", trial.carrier, "--load", trial.load]
    words += [word for word in around.arguments if not word.startswith("serial")]
    if isinstance(trial.cell.place, AtRequest):
        words += ["--xenstore", str(bench.intercept.directory)]
    elif store is not None:
        words += ["--xenstore", str(store.rundir), "--stubdom-xenstore", trial.transport]
    return words


def _judge(
    trial: Trial, bench: Rig, seen: Seen, around: Conditions, killed: bool
) -> tuple[str, tuple[str, ...]]:
    """One word for how it ended, and what is wrong with it."""
    wrong: list[str] = []
    if seen.hung:
        wrong.append("HANG: it had not ended after all deadlines")
    if seen.held_open:
        wrong.append("LEAK: a process kept its standard streams")
    readable = around.err.file is None and around.err.after_s != inf
    booted = seen.let_go if readable else seen.status == 0
    wrong += _wrong_bytes(trial, bench, seen, booted, around)
    if readable:
        wrong += _wrong_words(seen, killed or seen.hung)
        wrong += _unnamed_death(trial, seen)
    if killed:
        return ("killed, guest ran" if booted else "killed, no boot"), tuple(wrong)
    if seen.status not in {0, *_CODES}:
        wrong.append(f"WORDS: exit status {seen.status} is not documented: {seen.failures}")
    if seen.status == 0:
        tried = seen.stages.count("published")
        return ("booted" if tried < 2 else f"booted by attempt {tried}"), tuple(wrong)
    code = f"exit {seen.status}"
    return (f"guest ran, then {code}" if booted else f"refused, {code}"), tuple(wrong)


def _wrong_bytes(
    trial: Trial, bench: Rig, seen: Seen, booted: bool, around: Conditions
) -> list[str]:
    """What a guest had or said that it should not have."""
    if not booted and seen.console:
        return ["WRONG BOOT: a guest spoke that was not let go"]
    if not booted:
        return []
    if trial.speaks:
        whole = seen.status == 0 and around.out.after_s != inf
        unheard = around.out.closed or any(word.startswith("serial") for word in around.arguments)
        if unheard and not seen.console:
            return []
        if whole and seen.console != bench.consoles[trial.kind]:
            return [f"WRONG BOOT: the guest said {seen.console!r}"]
        if not bench.consoles[trial.kind].startswith(seen.console):
            return [f"WRONG BOOT: the guest said {seen.console!r}"]
        return []
    if seen.ram_fd is None:
        return [] if around.err.file or around.err.after_s else ["JUDGE: no look into guest RAM"]
    guest = bench.guests[trial.kind]
    wrong = [f"WRONG BOOT: {text}" for text in wrong_in_ram(guest, seen.ram_fd, seen.placed)]
    if placed_digests(seen.ram_fd, seen.placed) != bench.placed[trial.kind]:
        wrong.append("WRONG BOOT: what was placed is not what a run without faults places")
    return wrong


def _wrong_words(seen: Seen, killed: bool) -> list[str]:
    """One error line and its exit code, or none; nothing else on standard error."""
    wrong = [f"WORDS: {line!r} on standard error" for line in seen.strange if line and not killed]
    if killed:
        return wrong
    if seen.status == 0 and seen.failures:
        wrong.append(f"WORDS: exit status 0 after an error: {seen.failures}")
    if seen.status != 0 and len(seen.failures) != 1:
        wrong.append(f"WORDS: exit status {seen.status} with {len(seen.failures)} error lines")
    wrong += [
        f"WORDS: exit status {seen.status}, error line {failure['exit_code']}"
        for failure in seen.failures
        if failure["exit_code"] != seen.status
    ]
    return wrong


def _unnamed_death(trial: Trial, seen: Seen) -> list[str]:
    """The error names QEMU where that was ended. A stopped one is told by what did not come."""
    fault = trial.cell.fault
    if isinstance(fault, Surroundings) or fault[1] is not Victim.QEMU:
        return []
    ended = fault[0] in (Blow.KILL, Blow.BUS, Blow.TERM)
    texts = [str(failure["text"]) for failure in seen.failures]
    return [f"WORDS: {text!r} names no QEMU" for text in texts if ended and "QEMU" not in text]


async def _look_behind(
    trial: Trial, bench: Rig, store: Xenstored | None, striker: Striker
) -> tuple[list[str], bool]:
    """What is left, and whether `toolstack cleanup` had something to do."""
    daemons = [daemon.pid for daemon in {id(d): d for d in (bench.xenstored, store) if d}.values()]
    wrong = [f"LEAK: {what}" for what in await bench.lingering(frozenset(daemons))]
    await bench.closed_connections()
    if bench.intercept.connections:
        wrong.append(f"LEAK: {bench.intercept.connections} connections to xenstored")
    if not bench.xenstored.runs:
        await bench.renew()
    daemon = bench.xenstored if store is None else store
    left = await _extra(bench, daemon) != [] or any(bench.runtime.rglob("run-*"))
    if left:
        if _could_have_tidied(trial, striker):
            wrong.append("LEAK: nodes or directories were left by a toolstack that lived")
        wrong += await _clean_up(bench, daemon)
        if extra := await _extra(bench, daemon):
            wrong.append(f"LEAK: after cleanup there are {extra[:5]}")
        if runs := list(bench.runtime.rglob("run-*")):
            wrong.append(f"LEAK: after cleanup there are {runs}")
    if daemon is bench.xenstored:
        count = await daemon.settled_descriptors(bench.idle_descriptors)
        if count > bench.idle_descriptors:
            wrong.append(f"LEAK: xenstored has {count} descriptors, idle {bench.idle_descriptors}")
        if sockets := [path.name for path in daemon.rundir.glob("*/*")]:
            wrong.append(f"LEAK: sockets of domains {sockets}")
    return wrong, left


async def _extra(bench: Rig, daemon: Xenstored) -> list[tuple[str, bytes]]:
    """Nodes that no idle daemon has."""
    tree = await daemon.tree()
    return sorted({*tree.items()} - {*bench.empty.items()})


def _could_have_tidied(trial: Trial, striker: Striker) -> bool:
    """Nobody took its life or its connection, and xenstored answered."""
    fault = trial.cell.fault
    if striker.killed_toolstack or isinstance(fault, Surroundings):
        return False
    return fault[1] not in (Victim.TOOLSTACK, Victim.XENSTORE)


async def _clean_up(bench: Rig, daemon: Xenstored) -> list[str]:
    """`toolstack cleanup`, again and again only where the daemon errs on purpose."""
    said = []
    for _ in range(_CLEAN_UP_TRIES if daemon.faults else 1):
        words = ["cleanup", "--xenstore", str(daemon.rundir)]
        result = await trio.run_process(
            [*PROGRAM, *words],
            capture_stderr=True,
            check=False,
            env={**os.environ, **bench.environment},
            cwd=ROOT,
        )
        if result.returncode == 0:
            return []
        said.append(result.stderr.decode("utf-8", "replace"))
    return [f"LEAK: toolstack cleanup fails: {said[-1]}"]


async def _next_run(bench: Rig) -> list[str]:
    """A run without faults in the same place."""
    seen = Seen()
    await bench.boot(seen)
    try:
        if seen.status != 0 or seen.ram_fd is None:
            return [f"NEXT RUN: exit status {seen.status}: {seen.failures} {seen.strange}"]
        if placed_digests(seen.ram_fd, seen.placed) != bench.placed[Kind.KERNEL]:
            return ["NEXT RUN: it placed other bytes"]
    finally:
        seen.close()
    await bench.closed_connections()
    if extra := await _extra(bench, bench.xenstored):
        return [f"NEXT RUN: it left {extra[:5]} behind"]
    return []
