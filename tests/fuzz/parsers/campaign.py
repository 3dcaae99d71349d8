"""One worker after the other, the time shared among them; a find goes to tests/golden."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.parsers.seeds import seeds

PREFIX: Final = "parser_"
CORPUS: Final = Path(".fuzz")
"""What was reached so far, kept between campaigns and outside git."""
INPUT_S: Final = 30
"""Longest that one input may take."""
RSS_MIB: Final = 1024
"""Most memory of a worker: the guest has 64 MiB, the decoders' windows up to 160 MiB."""
INPUT_MAX_BYTES: Final = 16 * 1024
_EXECUTIONS: Final = re.compile(rb"stat::number_of_executed_units: +(\d+)")


def campaign(targets: Sequence[str], seconds: float, keep: Path, corpus: Path) -> int:
    """The number of targets in which something was found; each is told on standard output."""
    each = max(int(seconds / len(targets)), 1)
    found = 0
    for target in targets:
        found += not _fuzz(target, each, keep, corpus / target)
    return found


def target_of(path: Path) -> str:
    """The target that a find is of, by its name: parser_TARGET_DIGEST.bin."""
    return path.stem.removeprefix(PREFIX).rpartition("_")[0]


def _fuzz(target: str, seconds: int, keep: Path, corpus: Path) -> bool:
    """Whether nothing was found."""
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as artifacts:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.parsers.worker", target),
                *(f"-max_total_time={seconds}", f"-timeout={INPUT_S}", f"-rss_limit_mb={RSS_MIB}"),
                *(f"-max_len={INPUT_MAX_BYTES}", f"-artifact_prefix={artifacts}/"),
                *("-print_final_stats=1", "-verbosity=1", str(corpus)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        count = _EXECUTIONS.search(done.stdout)
        inputs = int(count[1]) if count else 0
        print(f"{target:14} {inputs:9} inputs, {inputs // seconds:7}/s", flush=True)
        if done.returncode == 0:
            return True
        print(done.stdout[-4000:].decode("utf-8", "replace"))
        for artifact in Path(artifacts).iterdir():
            data = artifact.read_bytes()
            path = keep / f"{PREFIX}{target}_{hashlib.sha256(data).hexdigest()[:8]}.bin"
            keep.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{artifact.name.partition('-')[0]} in {target}, kept as {path}", flush=True)
    return False
