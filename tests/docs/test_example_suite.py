"""The example suite runs where there is Python, pytest, trio and this project, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

SUITE = ROOT / "docs" / "examples" / "test-suite"
NEEDED = ("pytest", "trio")
PACKAGING = ("pyproject.toml", "README.md", "LICENSE")
DEADLINE_S = 60

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def with_requirements(names: tuple[str, ...]) -> Iterator[Distribution]:
    """The installed distributions of these names, and all that they need on this platform."""
    wanted, seen = list(names), set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        # Those with a marker are for extras, other platforms and older releases.
        plain = (each for each in found.requires or () if ";" not in each)
        wanted += [match[0].lower() for each in plain if (match := _NAME.match(each))]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment into which the checkout is installed, with what the plugin needs."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv)}))
    for found in with_requirements(NEEDED):
        for top in {Path(file).parts[0] for file in found.files or () if ".." not in str(file)}:
            source = Path(str(found.locate_file(top)))
            if source.exists() and top != "__pycache__":
                (site / top).symlink_to(source)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in PACKAGING:
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "xenstore_sim", checkout / "xenstore_sim")
    # The environment's own requirements would need the network.
    without_network = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", *without_network, "--wheel-dir", tmp_path, checkout)
    (wheel,) = tmp_path.glob("*.whl")
    run(*pip, "--python", venv / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    return venv


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What the command prints; it must not fail."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_it_passes_in_a_plain_virtual_environment(environment: Path, tmp_path: Path) -> None:
    # As the guide calls it, in a checkout, whose own pytest settings are not the suite's. Without
    # the package beside it: what is installed counts.
    project = tmp_path / "project"
    suite = SUITE.relative_to(ROOT)
    shutil.copytree(SUITE, project / suite, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    shown = run(
        environment / "bin" / "python",
        *("-m", "pytest", "-p", "no:cacheprovider", "-W", "error", suite),
        cwd=project,
        env={"PATH": str(environment / "bin")},
    )
    tests = (SUITE / "test_vif_hotplug.py").read_text().count("\ndef test_")
    assert f"{tests} passed" in shown
    assert re.search(r"^plugins: stubdom-direct-boot-[\d.]+$", shown, re.MULTILINE)
