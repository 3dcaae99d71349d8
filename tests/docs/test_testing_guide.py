"""The examples of docs/testing-with-xenstore.md run, and it tells of every method and fault."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.docs.documents import ROOT, fenced, spans
from xenstore_sim.pytest_plugin.options import NAMES
from xenstore_sim.pytest_plugin.xenstored import Xenstored
from xenstore_sim.store.faults import FaultPlan, Faults

pytest_plugins = "pytester"

GUIDE = (ROOT / "docs" / "testing-with-xenstore.md").read_text()
DEADLINE_S = 60


def test_the_examples_pass(pytester: pytest.Pytester) -> None:
    examples = fenced(GUIDE, "python")
    pytester.makepyfile(**{f"test_{n}": example for n, example in enumerate(examples)})
    command = ("-p", "no:cacheprovider", "-o", "trio_mode=true")
    result = pytester.runpytest_subprocess(*command, timeout=DEADLINE_S)
    result.assert_outcomes(passed=len(examples))


def test_every_method_of_the_fixture_is_told_of() -> None:
    told = " ".join(spans(GUIDE))
    methods = {name for name in vars(Xenstored) if not name.startswith("_")} - {"stop", "picture"}
    assert {name for name in methods if name not in told} == set()


def test_every_field_of_a_plan_and_every_option_is_told_of() -> None:
    fields = {field.name for each in (Faults, FaultPlan) for field in dataclasses.fields(each)}
    for name in (fields - {"faults"}) | set(NAMES):
        assert f"`{name}`" in GUIDE, name


def test_the_plans_in_it_are_plans() -> None:
    plans = [span for span in spans(GUIDE) if "=" in span and "," in span and "(" not in span]
    assert plans
    for plan in plans:
        assert FaultPlan.parse(plan).faults


def test_the_options_of_pytest_are_there(pytestconfig: pytest.Config) -> None:
    options = set(re.findall(r"--xenstored-[a-z]+", GUIDE))
    assert options == {"--xenstored-compat", "--xenstored-seed"}
    for option in options:
        pytestconfig.getoption(option)
        assert f"`{option[2:].replace('-', '_')}`" in GUIDE
