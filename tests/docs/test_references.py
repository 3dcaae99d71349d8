"""What the documents point at is there: files, sections, modules, commands and options."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from devicemodel.cli import parser
from devicemodel.inspect.command import parser as inspect_parser
from tests.docs.documents import DOCUMENTS, ROOT, anchors, fenced, name, prose, spans
from toolstack.cli import cli
from xenstore_sim.__main__ import main as xenstore_sim

PACKAGES = ("handoff", "toolstack", "devicemodel", "xenstore_sim")
FOLDERS = (*PACKAGES, "tests", "docs", "scripts", "benchmarks", ".ci")

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*")
_NAME = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
_COMMAND = re.compile(r"(?:\.venv/bin/)?(toolstack|xenstore-sim|devicemodel|make) (.+)")

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name)


def test_the_documents_are_found() -> None:
    found = {name(path) for path in DOCUMENTS}
    assert found >= {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/protocol.md"}
    assert not any(part.startswith(".venv") for part in found)


@every_document
def test_every_link_leads_to_a_file_or_a_section(path: Path) -> None:
    for link in _LINK.findall(prose(path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        where, _, section = link.partition("#")
        target = path.parent / where if where else path
        assert target.exists(), link
        if section:
            assert section in anchors(target.read_text()), link


@every_document
def test_every_file_that_is_named_exists(path: Path) -> None:
    for span in spans(path.read_text()):
        if _FILE.fullmatch(span):
            assert (ROOT / span).exists(), span


@every_document
def test_every_module_that_is_named_exists(path: Path) -> None:
    for span in spans(path.read_text()):
        if _NAME.fullmatch(span):
            assert resolves(span), span


def resolves(dotted: str) -> bool:
    """Whether `dotted` is a module, or what a module has under that name."""
    head, _, tail = dotted.rpartition(".")
    try:
        importlib.import_module(dotted)
    except ModuleNotFoundError:
        return bool(head) and hasattr(importlib.import_module(head), tail)
    return True


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of ours in fenced blocks and in inline code: program and words."""
    lines = [line for block in fenced(text) for line in block.splitlines()]
    for line in (*lines, *spans(text)):
        # A picture has our names, too, but it is indented.
        found = _COMMAND.match(line.partition(" #")[0].rstrip())
        if found is not None and "=" not in found[2].split()[0]:
            yield found[1], shlex.split(found[2].rstrip(" &"))


def click_options(command: click.Command) -> set[str]:
    options = {"-h", "--help"}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            options |= {*parameter.opts, *parameter.secondary_opts}
    return options


def known_options(program: str, subcommand: str | None) -> set[str]:
    if program == "xenstore-sim":
        return click_options(xenstore_sim)
    if program == "devicemodel":
        return {*parser()._option_string_actions, *inspect_parser()._option_string_actions}
    assert subcommand is not None
    assert subcommand in cli.commands, subcommand
    return click_options(cli.commands[subcommand])


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@every_document
def test_every_command_has_the_options_it_is_shown_with(path: Path) -> None:
    for program, words in commands(path.read_text()):
        if program == "make":
            assert words[0] in make_targets(), words
            continue
        subcommand = words[0] if program == "toolstack" else None
        if subcommand is not None and subcommand.startswith("-"):
            assert subcommand in {*click_options(cli), "--version"}, words
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= known_options(program, subcommand), (path, words)


OUR_DOCUMENTS = [path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs")]


@pytest.mark.parametrize("path", OUR_DOCUMENTS, ids=name)
def test_every_long_option_that_is_named_is_one_of_ours(path: Path) -> None:
    programs = [("xenstore-sim", None), ("devicemodel", None)]
    known = set().union(*(known_options(program, sub) for program, sub in programs))
    known |= {option for sub in cli.commands for option in known_options("toolstack", sub)}
    for span in spans(path.read_text()):
        if span.startswith("--"):
            assert re.split(r"[ =\[]", span)[0] in known, span


def test_every_import_contract_is_told_to_newcomers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    for contract in project["tool"]["importlinter"]["contracts"]:
        assert f"\n- {contract['name']}\n" in architecture
