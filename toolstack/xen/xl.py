"""xl as a program: what libxl alone can do, build a domain with its device model, destroy it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from handoff.errors import HypervisorError, printable
from toolstack.xen.program import run_to_end

CREATE_S: Final = 120.0
"""Longest wait for a domain to be built: libxl's own waits, for the device model and for
backends, are shorter."""
DESTROY_S: Final = 60.0
LIST_S: Final = 30.0
_WORDS_MAX: Final = 800
_FIRST_LINES: Final = 3
_LAST_LINES: Final = 2


class XlFailed(HypervisorError):
    """xl ended by itself, with a failure: libxl takes away what it has built by then."""


@dataclass(frozen=True, slots=True)
class Xl:
    """An installed xl."""

    program: str

    @classmethod
    def installed(cls) -> Xl:
        """Raises: HypervisorError if there is none."""
        program = shutil.which("xl") or shutil.which("xl", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise HypervisorError("xl: no such program: install it (Debian: xen-utils-common)")
        return cls(program)

    async def create_paused(self, config: str, lock: int) -> None:
        """Builds the domain that the file `config` describes; nobody waits for its end.

        lock: a descriptor that xl holds, and nothing that it leaves running, also if we are killed.
        Raises: XlFailed with xl's words; HypervisorError if xl was killed or did not answer, and it
        may exist.
        """
        await self._run(CREATE_S, lock, "create", "-p", "-e", config)

    async def destroy(self, domid: int, lock: int) -> None:
        """lock: as above. Raises: HypervisorError with xl's words, also if it is gone already."""
        await self._run(DESTROY_S, lock, "destroy", str(domid))

    async def configuration(self, domid: int) -> str:
        """Of a domain, as libxl keeps it. Raises: HypervisorError with xl's words."""
        return await self._run(LIST_S, subprocess.DEVNULL, "list", "-l", str(domid))

    async def _run(self, limit_s: float, stdin: int, *words: str) -> str:
        """What it said. An interrupt at our terminal does not reach it: it would leave half a
        domain. Of our descriptors libxl keeps only this one from QEMU."""
        try:
            ended = await run_to_end(
                [self.program, *words], limit_s, stdin=stdin, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise HypervisorError(f"{self.program}: {error.strerror}") from error
        if ended is None:
            raise HypervisorError(f"`xl {words[0]}` did not end within {limit_s:g} s")
        if ended.status < 0:
            raise HypervisorError(
                f"`xl {words[0]}` was killed (signal {-ended.status}): {_shown(ended.stdout)}"
            )
        if ended.status != 0:
            raise XlFailed(
                f"`xl {words[0]}` failed (status {ended.status}): {_shown(ended.stdout)}"
            )
        return ended.stdout.decode("utf-8", "replace")


def _shown(said: bytes) -> str:
    """Its lines, on one: the first say why, the last what follows from it."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    if len(lines) > _FIRST_LINES + _LAST_LINES:
        lines[_FIRST_LINES:-_LAST_LINES] = ["..."]
    return printable(" / ".join(lines), _WORDS_MAX)
