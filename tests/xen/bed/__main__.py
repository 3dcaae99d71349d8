"""`python -m tests.xen.bed`: builds the bed and says where it is."""

from __future__ import annotations

import sys
import time

from tests.xen.bed.build import build
from tests.xen.bed.errors import BedError


def main() -> int:
    """The exit status: 0, or 1 with the reason on standard error."""
    started = time.monotonic()
    try:
        bed = build()
    except BedError as error:
        print(f"xenbed: {error}", file=sys.stderr)
        return 1
    print(f"in {bed.folder} ({time.monotonic() - started:.1f} s):")
    for file in (bed.hypervisor, bed.kernel, bed.dom0):
        print(f"{file.name:<16} {file.stat().st_size:>12,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
