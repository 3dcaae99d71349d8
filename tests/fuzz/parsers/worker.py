"""Fuzzes one target until libFuzzer's own limits or a find: a process of its own, as libFuzzer
ends its process. `python -m tests.fuzz.parsers.worker TARGET [LIBFUZZER OPTIONS] CORPUS`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["devicemodel", "handoff"]):
    from tests.fuzz.parsers.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]

    def one(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
