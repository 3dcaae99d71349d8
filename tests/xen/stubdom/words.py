"""What the program in the stub domain and the scenario in dom0 agree on."""

from __future__ import annotations

from typing import Final

OPTION: Final = "--reach"
REACH: Final = "REACH "
WRITTEN_AT: Final = 0x800000
WRITTEN: Final = b"written by the stub domain"
