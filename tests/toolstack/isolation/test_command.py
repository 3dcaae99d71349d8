"""`toolstack isolation` ends with status 1 if anything got through."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from handoff.confinement import Layer
from tests.toolstack.isolation.test_judge import GOT, STOPPED, judged
from toolstack.isolation import command
from toolstack.isolation.ablation import Weight
from toolstack.isolation.judge import Judgement


@pytest.mark.parametrize(("through", "status"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("as_json", [False, True])
async def test_the_exit_status_is_the_judgements(
    as_json: bool,
    through: bool,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judgement = judged(replace(STOPPED, confined=GOT) if through else STOPPED)

    async def examine(layers: tuple[Layer, ...]) -> tuple[Judgement, tuple[Weight, ...]]:
        return judgement, ()

    monkeypatch.setattr(command, "examine", examine)
    assert await command.isolation(json=as_json, ablate=False) == status
    told = capsys.readouterr().out
    if as_json:
        assert json.loads(told)["through"] == (["open a file"] if through else [])
    else:
        assert ("1 GOT THROUGH" in told) == through
