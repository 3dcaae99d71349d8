"""`python -m toolstack.machine.emulator`: the emulator's own process."""

from __future__ import annotations

import sys

from toolstack.machine.emulator.child import main

sys.exit(main(sys.argv[1:]))
