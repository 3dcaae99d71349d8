"""docs/schemas/progress.schema.json is the form of what `--json` writes."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handoff import report
from handoff.descriptor import Insert, Role
from handoff.errors import ALL_ERRORS, ConfigError
from handoff.frame import FRAME_MAX_BYTES
from handoff.layouts.frame import HEADER_BYTES
from handoff.platforms import Platform
from handoff.report import When
from handoff.stages import Stage
from tests.docs.documents import ROOT
from tests.docs.test_protocol import EXAMPLE, REPORT
from tests.e2e.toolstack_runs import toolstack
from toolstack.json_lines import JsonProgress
from toolstack.machine.port import EndReason
from toolstack.progress import Progress

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "progress.schema.json").read_text())
FORMS = SCHEMA["$defs"]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

CALLS: dict[str, Callable[[Progress], None]] = {
    "stage": lambda progress: progress.stage("device model", "placed"),
    "loading": lambda progress: progress.loading(Role.KERNEL, 10, 10),
    "published": lambda progress: progress.published(EXAMPLE, bytes(305)),
    "placed": lambda progress: progress.placed(REPORT, ()),
    "warning": lambda progress: progress.warning("look here"),
    "log": lambda progress: progress.log("machine", "bios: hello"),
    "failed": lambda progress: progress.failed(ConfigError("no kernel")),
}


def written(event: str) -> dict[str, Any]:
    """The object that the progress writes for `event`."""
    stream = io.StringIO()
    CALLS[event](JsonProgress(stream))
    value: dict[str, Any] = json.loads(stream.getvalue())
    return value


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_call_of_the_progress_port_has_an_event_of_its_name() -> None:
    methods = {name for name in vars(Progress) if not name.startswith("_")}
    assert set(CALLS) == methods
    assert {name for name, form in FORMS.items() if "event" in form.get("properties", {})} == (
        methods
    )
    assert {form["$ref"].rpartition("/")[2] for form in SCHEMA["oneOf"]} == methods


@pytest.mark.parametrize("event", CALLS)
def test_what_is_written_has_its_form(event: str) -> None:
    assert written(event)["event"] == event
    VALIDATOR.validate(written(event))


@pytest.mark.parametrize("event", CALLS)
def test_a_field_too_few_and_one_too_many_are_refused(event: str) -> None:
    whole = written(event)
    for field in whole:
        less = copy.deepcopy(whole)
        del less[field]
        assert not VALIDATOR.is_valid(less)
    assert not VALIDATOR.is_valid({**whole, "surplus": 1})


def test_a_move_out_of_a_host_file_comes_from_null() -> None:
    moved = written("placed")
    moved["moves"][0]["from"] = None
    VALIDATOR.validate(moved)


def test_words_and_bounds_are_the_codes() -> None:
    published, placed = FORMS["published"]["properties"], FORMS["placed"]["properties"]
    assert FORMS["role"]["enum"] == [role.value for role in Role]
    assert published["platform"]["enum"] == [platform.value for platform in Platform]
    assert published["insert"]["enum"] == [insert.value for insert in Insert]
    assert published["frame_bytes"]["minimum"] == HEADER_BYTES + 1
    assert published["frame_bytes"]["maximum"] == FRAME_MAX_BYTES
    assert placed["placements"]["maxItems"] == report.PLACEMENTS_MAX
    assert placed["moves"]["maxItems"] == report.MOVES_MAX
    fields = placed["placements"]["items"]["properties"]
    assert fields["when"]["enum"] == [when.value for when in When]
    assert fields["name"]["maxLength"] == report.NAME_MAX
    assert fields["reason"]["maxLength"] == report.REASON_MAX


def stages_of(who: str) -> list[str]:
    (found,) = [
        rule["then"]["properties"]["stage"]["enum"]
        for rule in FORMS["stage"]["allOf"]
        if rule["if"]["properties"]["who"]["const"] == who
    ]
    return list(found)


def test_the_stages_are_the_codes() -> None:
    assert stages_of("device model") == [stage.value for stage in Stage]
    assert stages_of("machine") == ["paused", *(reason.value for reason in EndReason)]


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_every_failure_has_the_form(error: type[Exception]) -> None:
    stated = {"kind": error.kind, "exit_code": error.exit_code}  # type: ignore[attr-defined]
    VALIDATOR.validate({**written("failed"), **stated})


EARLY = [stage.value for stage in Stage if stage is not Stage.READY]
"""Stages that may be missed, because xenstored merges events that wait, or do not happen."""


def test_every_line_of_a_demo_has_its_form(runtime: Path) -> None:
    run = toolstack(runtime, "demo", "--json")

    assert run.status == 0, run.errors
    lines = [json.loads(line) for line in run.errors.splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    told = [line["stage"] for line in lines if line["event"] == "stage"]
    assert told[-2:] == ["unpaused", "powered off"]
    assert {line["event"] for line in lines} >= set(CALLS) - {"warning", "failed"}
    for who in ("toolstack", "device model"):
        seen = {line["stage"] for line in lines if line.get("who") == who}
        assert seen >= set(stages_of(who)) - set(EARLY)


def test_a_run_that_fails_ends_with_the_failure(runtime: Path) -> None:
    run = toolstack(runtime, "create", str(runtime / "none.cfg"), "--json")

    lines = [json.loads(line) for line in run.errors.splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    assert (lines[-1]["event"], lines[-1]["kind"]) == ("failed", "image")
    assert lines[-1]["exit_code"] == run.status
