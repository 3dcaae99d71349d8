"""ACPI tables and SMBIOS structures of the operator's: where hvmloader looks for them."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.builders import noise
from tests.e2e.toolstack_runs import left_behind, start, text, write_config
from xenstore_sim.client import Client
from xenstore_sim.wire.names import AbsolutePath

GIVEN = {"acpi": noise(0x1234, 1), "smbios": noise(0x56, 2)}


@pytest.mark.parametrize("way", [(), ("--native",)], ids=["handoff", "native"])
async def test_hvmloader_is_told_where_its_tables_lie(
    way: tuple[str, ...], tmp_path: Path, runtime: Path
) -> None:
    for kind, content in GIVEN.items():
        (tmp_path / kind).write_bytes(content)
    settings = {f"{kind}_firmware": tmp_path / kind for kind in GIVEN}
    config = write_config(tmp_path / "g.cfg", memory=128, **settings)
    none = ("--machine", "none", "--platform", "xen-hvm")
    process = start(runtime, "create", str(config), *none, *way)
    try:
        ram = prepared(process)
        async with Client.connect(socket_below(runtime)) as client:
            for kind, content in GIVEN.items():
                here = f"/local/domain/1/hvmloader/{kind}"
                address = int(await client.read(AbsolutePath(f"{here}/address")), 16)
                length = int(await client.read(AbsolutePath(f"{here}/length")), 16)
                assert bytes_at(ram, address, length) == content
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert left_behind(runtime, process.pid) == []


def prepared(process: subprocess.Popen[bytes]) -> str:
    """The file that is guest RAM, once all is ready."""
    assert process.stderr is not None
    said = b""
    while b"unpaused" not in said:
        line = process.stderr.readline()
        assert line, text(said)
        said += line
    (ram,) = re.findall(r"guest RAM is (/proc/\d+/fd/\d+)", text(said))
    return str(ram)


def socket_below(runtime: Path) -> Path:
    (socket,) = runtime.glob("**/socket")
    return socket


def bytes_at(ram: str, address: int, length: int) -> bytes:
    with open(ram, "rb") as memory:
        memory.seek(address)
        return memory.read(length)
