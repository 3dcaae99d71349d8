"""Guests that lose a page between two stages of their handoff, as by a balloon."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import trio

from handoff.addresses import MIB, PAGE, Gpa
from handoff.errors import HandoffError
from tests.xen.dom0.balloon import pause, take_page, unpause
from tests.xen.dom0.domains import domid_of
from tests.xen.scenarios import stubdom
from tests.xen.scenarios.handoff import config
from tests.xen.scenarios.hvm import QUIET, RAMDISK
from toolstack.config import read_config
from toolstack.console import Console
from toolstack.create import Request, create
from toolstack.guest_run import Patience
from toolstack.json_lines import JsonProgress
from toolstack.machine.port import OnXen

MEMORY: Final = 256 * MIB
STAGED: Final = Gpa(MEMORY - 32 * MIB - PAGE)
"""Of the ramdisk, which is staged where it will stay."""
FINAL: Final = Gpa(3 * MIB)
"""Where nothing is staged, and a kernel that can be relocated is moved to."""
NAME: Final = "p1"
_STAGE_S: Final = 240.0


class _ActsOnStages(JsonProgress):
    """Does something when it is told of a stage: meanwhile nothing happens in the toolstack."""

    def __init__(self, told: io.StringIO, acts: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(told)
        self._acts = dict(acts)

    def stage(self, who: str, what: str, detail: str = "") -> None:
        super().stage(who, what, detail)
        self._acts.pop(what, lambda: None)()


def takes_pages() -> dict[str, Any]:
    """How each of them failed, with the frame it lost."""
    return {
        "staged, before it is loaded": _loses(STAGED, "created"),
        "staged, once it is loaded": _loses(STAGED, "loaded"),
        "where the kernel goes": _loses(FINAL, "published", stub_domain=True),
    }


def _loses(page: Gpa, at: str, *, stub_domain: bool = False) -> dict[str, Any]:
    more: dict[str, object] = {"memory": MEMORY // MIB}
    acts = {at: lambda: take_page(domid_of(NAME), page)}
    if stub_domain:
        more |= stubdom.keys()
        # It looks for nothing before the page is gone.
        acts = {"loaded": _pause_stub_domain, at: lambda: _take_and_go_on(page)}
    told = io.StringIO()
    failed: dict[str, Any] = {}
    text = config(NAME, QUIET, RAMDISK, **more).read_text()
    request = Request(
        config=read_config(text, NAME)[0],
        machine=OnXen(),
        patience=Patience(_STAGE_S, _STAGE_S),
        tries=1,
        stage_timeout_s=_STAGE_S,
    )
    try:
        with open(os.devnull, "wb") as nothing:
            console = Console(nothing.fileno())
            trio.run(create, request, _ActsOnStages(told, acts), console)
    except HandoffError as error:
        failed = {"kind": error.kind, "exit_code": error.exit_code, "text": str(error)}
    stages = [json.loads(line) for line in told.getvalue().splitlines()]
    return failed | {
        "frame": page // PAGE,
        "stages": [each["stage"] for each in stages if each["event"] == "stage"],
        "log": [each["line"] for each in stages if each["event"] == "log"][-5:],
    }


def _pause_stub_domain() -> None:
    pause(domid_of(f"{NAME}-dm"))


def _take_and_go_on(page: Gpa) -> None:
    take_page(domid_of(NAME), page)
    unpause(domid_of(f"{NAME}-dm"))
