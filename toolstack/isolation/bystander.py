"""The guest next door, which goes on with its own work and notices if it is disturbed."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from handoff.addresses import Gpa, GpaRange
from toolstack.hypervisor import RamFile
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import AbsolutePath, Token

PATIENCE_S = 3.0
"""It counts as not served when an answer takes longer."""
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """How the bystander fared since it was last asked."""

    turns: int
    longest_s: float
    harm: str
    """what happened to it; empty: nothing"""


class Bystander:
    """Keeps reading, writing and watching its own nodes over its own connection."""

    def __init__(self, client: Client, home: AbsolutePath, ram: RamFile, secret: str) -> None:
        self._client = client
        self._data = f"{home}/data"
        self._ram = ram
        self._secret = secret.encode()
        self._turns = 0
        self._longest_s = 0.0
        self._harm = ""
        self._ram_digest = ram.ram.digest(GpaRange(Gpa(0), ram.bytes))

    async def settle(self) -> None:
        """Its nodes as they are at the beginning. Raises: XenstoreError."""
        for name, value in (("secret", self._secret), ("scratch", b""), ("spare", b"")):
            await self._client.write(f"{self._data}/{name}", value)
        await self._client.write(f"{self._data}/watched", b"0")

    async def live(self) -> None:
        """Never returns, except when it was harmed."""
        try:
            async with self._client.watch(f"{self._data}/watched", Token(b"bystander")) as watch:
                await watch.get()
                while not self._harm:
                    started = trio.current_time()
                    with trio.fail_after(PATIENCE_S):
                        await self._turn()
                        await watch.get()
                    self._turns += 1
                    self._longest_s = max(self._longest_s, trio.current_time() - started)
                    await trio.sleep(_PAUSE_S)
        except XenstoreError as error:
            self._harm = f"xenstored refused it: {error}"
        except trio.TooSlowError:
            self._harm = f"not served for {PATIENCE_S:g} s"

    async def _turn(self) -> None:
        turn = str(self._turns)
        for name in ("beat", "watched"):
            await self._client.write(f"{self._data}/{name}", turn)
        async with self._client.begin() as transaction:
            if await transaction.read(f"{self._data}/beat") != turn.encode():
                self._harm = "another wrote its node"
        if await self._client.read(f"{self._data}/secret") != self._secret:
            self._harm = "another wrote its secret"

    def wellbeing(self) -> Wellbeing:
        """How it fared; counting begins anew."""
        if self._ram.ram.digest(GpaRange(Gpa(0), self._ram.bytes)) != self._ram_digest:
            self._harm = "its RAM was changed"
        fared = Wellbeing(self._turns, self._longest_s, self._harm)
        self._turns, self._longest_s = 0, 0.0
        return fared
