"""The compiled copy and the plain program take each other's place; run by `make test-compiled`.

Which modules are compiled must not show in what one leaves to the other.
"""

import sys
from pathlib import Path

import pytest
import trio

import xenstore_sim
from tests.xenstore_sim.replaceable import TOOK_OVER, Replaceable, replaceable
from xenstore_sim.client import Client
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms

COMPILED = Path(xenstore_sim.__file__).parents[1]
PLAIN = COMPILED.parents[1]
DOM3 = DomId(3)


def is_compiled(daemon: Replaceable) -> bool:
    """Whether it runs what mypyc made of all modules together, as the kernel sees it."""
    mapped = Path(f"/proc/{daemon.pid}/maps").read_text().splitlines()
    return any(str(COMPILED) in line and "__mypyc." in line for line in mapped)


@pytest.fixture
def programs(tmp_path: Path) -> dict[bool, str]:
    """Commands by whether they are compiled."""
    paths = {}
    for compiled, source in ((True, COMPILED), (False, PLAIN)):
        path = tmp_path / f"{compiled}"
        # -P: not what the current directory has.
        run = f'exec {sys.executable} -P -m xenstore_sim "$@"'
        path.write_text(f"#!/bin/sh\nexport PYTHONPATH={source}\n{run}\n")
        path.chmod(0o700)
        paths[compiled] = str(path)
    return paths


async def test_each_takes_the_place_of_each(tmp_path: Path, programs: dict[bool, str]) -> None:
    run = tmp_path / "run"
    async with replaceable(run) as daemon, Client.connect(daemon.socket_path) as dom0:
        assert is_compiled(daemon)
        await dom0.introduce(DOM3, 1, 1)
        await dom0.write("/local/domain/3", "")
        await dom0.set_perms("/local/domain/3", NodePerms.of("n3"))
        torn = await trio.open_unix_socket(daemon.socket_path)
        request = encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0")
        async with (
            torn,
            Client.connect_ring(run / "ring" / "3") as dom3,
            dom3.watch("a") as watch,
            dom0.begin() as transaction,
        ):
            await watch.get()
            for number, compiled in enumerate((True, False, False, True)):
                await transaction.write(f"/late/{number}", "v")
                await torn.send_all(request[:9])
                await dom0.control("live-update", "-f", programs[compiled])
                assert await dom0.control("live-update", "-s") == "OK"
                assert await daemon.line() == TOOK_OVER
                assert is_compiled(daemon) is compiled
                await torn.send_all(request[9:])
                assert (await torn.receive_some()).endswith(b"/local/domain/3\0")
                await dom3.write("a", str(number))
                assert (await watch.get()).path == "a"
        assert await dom0.directory("/late") == ("0", "1", "2", "3")


async def test_the_compiled_one_takes_its_own_place(tmp_path: Path) -> None:
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        await dom0.write("/a", "v")
        for _ in range(3):
            await daemon.renew()
            assert is_compiled(daemon)
            assert await dom0.read("/a") == b"v"
