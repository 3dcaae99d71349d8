"""Findings as one JSON object; docs/schemas/inspect.schema.json is its form."""

from __future__ import annotations

import json
from typing import Any

from devicemodel.inspect.findings import Findings, Refusal
from devicemodel.inspect.steps import as_json, entry_state, placed, steps
from devicemodel.place import Plan
from devicemodel.plan import BootPlan
from handoff.platforms import Reservation
from handoff.report import PlacedRange


def to_json(findings: Findings) -> str:
    """The object, with a line end. Addresses and sizes are numbers of bytes."""
    return json.dumps(_object(findings), indent=2) + "\n"


def _object(findings: Findings) -> dict[str, Any]:
    image, setting, outcome = findings.image, findings.setting, findings.outcome
    return {
        "image": {
            "name": image.name,
            "size": image.size,
            "what": image.what,
            "fields": [
                {"name": f.name, "offset": f.offset, "value": f.value, "note": f.note}
                for f in image.fields
            ],
        },
        "guest": {
            "platform": setting.platform.value,
            "memory_mib": setting.memory_mib,
            "low_ram_end": setting.low_ram_end,
            "reserved": [_reserved(entry) for entry in setting.reserved],
        },
        "method": None
        if image.method is None
        else {"name": image.method.value, "chosen_by": image.why},
        "plan": None if isinstance(outcome, Refusal) else _plan(outcome),
        "refusal": _refusal(outcome) if isinstance(outcome, Refusal) else None,
        "alternatives": [
            {
                "option": other.option,
                "method": other.outcome if isinstance(other.outcome, str) else None,
                "refusal": _refusal(other.outcome) if isinstance(other.outcome, Refusal) else None,
            }
            for other in findings.alternatives
        ],
        "least_memory_mib": findings.least_memory_mib,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    entry = entry_state(plan)
    return {
        "method": plan.method,
        "placements": [_placed(place) for place in placed(plan)],
        "steps": list(steps(plan.block)) if isinstance(plan, BootPlan) else [],
        "entry": None if entry is None else {"mode": entry[0], "registers": entry[1]},
    }


def _placed(place: PlacedRange) -> dict[str, Any]:
    return {
        "name": place.name,
        **as_json(place.range),
        "when": place.when.value,
        "reason": place.reason,
    }


def _reserved(entry: Reservation) -> dict[str, Any]:
    return {**as_json(entry.range), "owner": entry.owner, "until": entry.until.value}


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {"kind": refusal.kind, "exit_code": refusal.exit_code, "text": refusal.text}
