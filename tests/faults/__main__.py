"""The fault campaign: `python -m tests.faults --count 2000 --seed 1`.

Ends with status 1 if a guest booted wrong, something hung, or something was left behind.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import trio

from tests.faults.finds import FINDS
from tests.faults.play import Result, play
from tests.faults.processes import adopt_orphans
from tests.faults.rig import rig
from tests.faults.run import ROOT
from tests.faults.summary import lines, sums
from tests.faults.tabulate import markdown
from tests.faults.trial import Trial, trial

_REPORT_EVERY = 50


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="faults to inject; 100")
    parser.add_argument("--seed", type=int, help="same seed, same trials; random if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial; 0")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time; 2")
    parser.add_argument("--seconds", type=float, help="end after so many seconds, too")
    parser.add_argument("--replay", metavar="ID", help="play this one trial, SEED/NUMBER")
    parser.add_argument("--finds", action="store_true", help="play what once went wrong")
    parser.add_argument("--record", type=Path, help="results as JSON lines to this file")
    parser.add_argument("--tabulate", type=Path, metavar="FILE", help="such a file as Markdown")
    parser.add_argument("--worker", metavar="JOB", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tabulate is not None:
        recorded = [json.loads(line) for line in options.tabulate.read_text().splitlines()]
        print("\n".join([*sums(recorded), "", *markdown(recorded)]))
        return 0
    if options.replay is not None:
        seed, number = (int(part) for part in options.replay.split("/"))
        return _play_aloud([trial(seed, number)])
    if options.finds:
        return _play_aloud(FINDS)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(2**32)
    if options.worker is not None:
        numbers = range(options.first + options.worker, sys.maxsize, options.jobs)
        trio.run(_play_all, (trial(options.seed, number) for number in numbers), True)
        return 0
    return campaign(options)


def _play_aloud(trials: Sequence[Trial]) -> int:
    results = trio.run(_play_all, trials, False)
    return 1 if any(result["problems"] for result in results) else 0


def campaign(options: argparse.Namespace) -> int:
    """Plays trials until so many faults were injected. Returns the exit status."""
    print(f"seed {options.seed}, {options.jobs} at a time", flush=True)
    began = time.monotonic()
    results: list[dict[str, Any]] = []
    injected = 0
    argv = [sys.executable, "-m", "tests.faults", "--seed", str(options.seed)]
    argv += ["--first", str(options.first), "--jobs", str(options.jobs), "--worker"]
    workers = [
        subprocess.Popen(
            [*argv, str(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        for job in range(options.jobs)
    ]
    try:
        for result in _merged(workers):
            results.append(result)
            injected += bool(result["injected"])
            if options.record is not None:
                with open(options.record, "a") as record:
                    record.write(json.dumps(result) + "\n")
            if result["problems"]:
                print(_told(result), flush=True)
            elapsed = time.monotonic() - began
            if len(results) % _REPORT_EVERY == 0:
                rate = injected / elapsed
                print(f"{elapsed:6.0f} s: {injected} faults, {rate:.2f} a second", flush=True)
            if injected >= options.count or (options.seconds and elapsed > options.seconds):
                break
    finally:
        # Each finishes its trial first: what it started is its own to end.
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
        for worker in workers:
            worker.wait()
    print("\n".join(lines(results)))
    failed = any(result["problems"] for result in results)
    enough = injected >= options.count or options.seconds is not None
    return 0 if enough and not failed else 1


def _merged(workers: Iterable[subprocess.Popen[str]]) -> Iterator[dict[str, Any]]:
    """Results of all workers as they come, until the last one has ended."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read(worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            lines.put(line)
        lines.put(None)

    running = [threading.Thread(target=read, args=(worker,), daemon=True) for worker in workers]
    for thread in running:
        thread.start()
    for _ in running:
        while (line := lines.get()) is not None:
            yield json.loads(line)


async def _play_all(trials: Iterable[Trial], worker: bool) -> list[dict[str, Any]]:
    """Results of these trials. worker: a line each to standard output, until input ends."""
    adopt_orphans()
    results = []
    async with rig() as bench:
        await bench.calibrate()
        for drawn in trials:
            if worker and select.select([sys.stdin], [], [], 0)[0]:
                break
            result = _plain(await play(drawn, bench))
            if worker:
                print(json.dumps(result), flush=True)
                continue
            print(_told(result), flush=True)
            results.append(result)
    return results


def _plain(result: Result) -> dict[str, Any]:
    return {
        "id": result.trial.identity,
        "step": str(result.trial.cell.place),
        "fault": result.trial.cell.fault_text,
        "guest": result.trial.kind.value,
        "injected": result.injected,
        "outcome": result.outcome,
        "status": result.status,
        "swept": result.swept,
        "problems": result.problems,
        "text": result.detail,
        "seconds": round(result.seconds, 2),
    }


def _told(result: dict[str, Any]) -> str:
    head = f"{result['id']}: {result['step']}, {result['fault']}: {result['outcome']}"
    replay = f"\n    again: python -m tests.faults --replay {result['id']}"
    problems = "".join(f"\n    {problem}" for problem in result["problems"])
    text = f" ({result['text']})" if result["text"] else ""
    return head + text + (problems + replay if problems else "")


if __name__ == "__main__":
    sys.exit(main())
