"""Progress as text on standard error: one line a stage, the memory map where asked for."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import IO

import click

from handoff.addresses import MIB, GpaRange, size_text
from handoff.descriptor import Descriptor, Role
from handoff.errors import HandoffError
from handoff.report import Report
from toolstack import memory_picture

_COLOURS = {"toolstack": "cyan", "device model": "magenta", "machine": "green"}
_BAR_FROM_BYTES = 64 * MIB
"""Smaller images are there before a bar could be read."""
_CLEAR_LINE = "\r\033[K"


class TextProgress:
    """Implements the Progress port; times are seconds since it was made."""

    def __init__(
        self,
        stream: IO[str] | None = None,
        *,
        verbose: bool = False,
        quiet: bool = False,
        maps: bool = False,
    ) -> None:
        """verbose: other processes' logs too. quiet: warnings only. maps: memory before and
        after."""
        self._stream = sys.stderr if stream is None else stream
        self._verbose = verbose
        self._quiet = quiet
        self._maps = maps
        self._start = time.monotonic()
        self._bar_shown: int | None = None
        """percent that the bar on the last line shows"""

    def _line(self, text: str) -> None:
        over = _CLEAR_LINE if self._bar_shown is not None else ""
        self._bar_shown = None
        self._write(f"{over}{text}\n")

    def _write(self, text: str) -> None:
        # Whoever reads this may hang up; the guest is not ended for that.
        with suppress(OSError):
            click.echo(text, file=self._stream, nl=False)

    def stage(self, who: str, what: str, detail: str = "") -> None:
        if self._quiet:
            return
        seconds = time.monotonic() - self._start
        actor = click.style(f"{who:<12}", fg=_COLOURS.get(who))
        self._line(f"{seconds:8.3f} s  {actor}  {what:<11} {detail}".rstrip())

    def loading(self, role: Role, done: int, total: int) -> None:
        if self._quiet or total < _BAR_FROM_BYTES or not self._stream.isatty():
            return
        percent = done * 100 // total
        if percent == self._bar_shown:
            return
        self._bar_shown = percent if done < total else None
        filled = "#" * (percent * 30 // 100)
        end = _CLEAR_LINE if done == total else ""
        text = f"\r   {role.value:<8} [{filled:<30}] {percent:3d} % of {size_text(total)}"
        self._write(text + end)

    def published(self, descriptor: Descriptor, frame: bytes) -> None:
        if self._maps and not self._quiet:
            self._map("guest memory, as the toolstack leaves it", memory_picture.before(descriptor))

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None:
        if self._quiet:
            return
        for moved in report.moves:
            origin = "host file" if moved.source is None else f"{moved.source.start:#x}"
            self._line(f"{'':27}move {moved.name}: {origin} -> {moved.to}")
        if self._maps:
            title = f"guest memory, as the device model leaves it ({report.method})"
            self._map(title, memory_picture.after(report))

    def _map(self, title: str, rows: tuple[memory_picture.Row, ...]) -> None:
        self._line(click.style(f"  {title}", bold=True))
        for line in memory_picture.lines(rows):
            self._line(f"  {line}")

    def warning(self, text: str) -> None:
        self._line(click.style("warning: ", fg="yellow") + text)

    def log(self, source: str, line: str) -> None:
        if self._verbose and not self._quiet:
            self._line(click.style(f"  [{source}] {line}", dim=True))

    def failed(self, error: HandoffError) -> None:
        self._line(click.style("toolstack: error: ", fg="red") + str(error))
