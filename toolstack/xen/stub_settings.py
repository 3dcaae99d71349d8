"""What a configuration says of the stub domain: xl's own keys, which no xl here reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from handoff.errors import ConfigError
from toolstack.config import GuestConfig
from toolstack.config.parser import Atom

PREFIX: Final = "stubdomain_"
KERNEL: Final = f"{PREFIX}kernel"
RAMDISK: Final = f"{PREFIX}ramdisk"
MEMORY: Final = f"{PREFIX}memory"
CMDLINE: Final = f"{PREFIX}cmdline"
KEYS: Final = (KERNEL, RAMDISK, MEMORY, CMDLINE)
"""All that xl.cfg(5) has of them. Source: tools/xl/xl_parse.c."""
MEMORY_MIB: Final = 256
"""Unless stubdomain_memory says otherwise: Python in an unpacked initramfs."""
QUIET: Final = "console=hvc0 quiet"


@dataclass(frozen=True, slots=True)
class StubSettings:
    """A stub domain as its operator wants it."""

    kernel: str
    ramdisk: str
    memory_mib: int
    cmdline: str

    @classmethod
    def of(cls, config: GuestConfig) -> Self:
        """Raises: ConfigError naming the key."""
        given = {}
        for setting in config.ignored:
            if not setting.name.startswith(PREFIX):
                continue
            if setting.name not in KEYS:
                raise ConfigError(
                    f"{setting.name}={setting.value}: xl knows no such key: it has "
                    f"{', '.join(KEYS)}; leave it away"
                )
            if not isinstance(setting.value, Atom):
                raise ConfigError(
                    f'{setting.name}={setting.value}: is a list: write {setting.name}="..."'
                )
            given[setting.name] = setting.value.text
        for key in (KERNEL, RAMDISK):
            if not given.get(key):
                raise ConfigError(
                    f"{key}: is missing: with device_model_stubdomain_override=1 the device model "
                    "runs in a domain of its own: name its kernel and its initramfs "
                    "(docs/real-xen.md)"
                )
        return cls(
            given[KERNEL],
            given[RAMDISK],
            _mib(given.get(MEMORY, str(MEMORY_MIB))),
            given.get(CMDLINE, QUIET),
        )


def _mib(text: str) -> int:
    """Raises: ConfigError."""
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{MEMORY}={text}: is no number of MiB: write {MEMORY}={MEMORY_MIB}")
    return int(text)
