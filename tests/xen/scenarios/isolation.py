"""`toolstack isolation --machine xen` in dom0, with a stub domain of the bed's."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

from tests.xen.scenarios import stubdom

LIMIT_S: Final = 1200.0
_BESIDE: Final = Path("/run/simulated.json")
_CONFIG: Final = Path("/run/isolation.cfg")


def reaches(simulated: str, *options: str) -> dict[str, Any]:
    """How the command ended, and what it said. simulated: as the command printed it elsewhere."""
    _BESIDE.write_text(simulated)
    _CONFIG.write_text(config())
    command = ("toolstack", "isolation", "--machine", "xen", "--beside", str(_BESIDE))
    ended = subprocess.run(
        (*command, *options, str(_CONFIG)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return {"status": ended.returncode, "said": ended.stdout, "errors": ended.stderr}


def config() -> str:
    keys = {
        "stubdomain_kernel": stubdom.KERNEL,
        "stubdomain_ramdisk": stubdom.ramdisk(),
        "device_model_version": "qemu-xen",
    }
    text = 'name = "isolation"\ntype = "hvm"\nmemory = 64\ndevice_model_stubdomain_override = 1\n'
    return text + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
