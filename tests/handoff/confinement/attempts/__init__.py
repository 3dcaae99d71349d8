"""What a hostile process would try, one function an attempt."""

from tests.handoff.confinement.attempts import files, memory, privileges, processes, sockets
from tests.handoff.confinement.attempts.registry import ATTEMPTS, Attempt

__all__ = ["ATTEMPTS", "Attempt", "files", "memory", "privileges", "processes", "sockets"]
