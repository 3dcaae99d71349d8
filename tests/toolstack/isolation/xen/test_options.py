"""What does not go together is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from handoff.errors import ConfigError
from toolstack.isolation.options import IsolationRequest
from toolstack.isolation.verdict import Verdict
from toolstack.isolation.xen.simulated import Simulated, simulated

CONFIG, FILE = Path("guest.cfg"), Path("simulated.json")


def request(
    machine: str, config: Path | None = None, beside: Path | None = None, *, ablate: bool = False
) -> IsolationRequest:
    return IsolationRequest.of(
        machine=machine, config=config, beside=beside, json=False, ablate=ablate
    )


@pytest.mark.parametrize(
    ("machine", "config", "beside", "ablate", "named"),
    [
        ("simulation", CONFIG, None, False, "--machine xen"),
        ("simulation", None, FILE, False, "--machine xen"),
        ("xen", None, None, False, "stubdomain_kernel="),
        ("xen", CONFIG, None, True, "--ablate"),
    ],
)
def test_options_of_the_other_machine_are_refused(
    machine: str, config: Path | None, beside: Path | None, ablate: bool, named: str
) -> None:
    with pytest.raises(click.UsageError, match=named):
        request(machine, config, beside, ablate=ablate)


def test_a_configuration_is_asked_for_on_xen_alone() -> None:
    assert request("simulation").config is None
    assert request("xen", CONFIG, FILE).config == CONFIG


async def test_what_the_simulation_said_is_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "simulated.json"
    file.write_text('{"attempts": [{"name": "fork", "outcome": "EPERM", "verdict": "stopped"}]}')
    found = await simulated(file)
    assert found == {"fork": Simulated("fork", "EPERM", Verdict.STOPPED)}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"attempts": [{}]}', b'{"attempts": 7}', b'{"\xff' * 9999, b"[" * 99999],
    ids=["empty", "list", "no row", "no rows", "no text", "deep"],
)
async def test_a_file_of_something_else_is_refused_by_its_name(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "simulated.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"simulated\.json is not what") as refused:
        await simulated(file)
    assert len(str(refused.value)) < 400


async def test_a_file_that_is_not_there_or_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "simulated.json"
    with pytest.raises(ConfigError, match="No such file"):
        await simulated(file)
    with pytest.raises(ConfigError, match="longer than"):
        await simulated(Path("/dev/zero"))
    file.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ConfigError, match="longer than 1048576 bytes"):
        await simulated(file)
