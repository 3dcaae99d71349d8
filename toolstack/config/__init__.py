"""The guest's configuration: xl.cfg(5) text in, a checked GuestConfig out."""

from toolstack.config.disk import DiskFormat, DiskSpec
from toolstack.config.errors import ConfigWarning, SettingRefused, SyntaxRefused, Where
from toolstack.config.guest import Bios, DeviceModelVersion, GuestConfig, IgnoredSetting
from toolstack.config.reader import read_config

__all__ = [
    "Bios",
    "ConfigWarning",
    "DeviceModelVersion",
    "DiskFormat",
    "DiskSpec",
    "GuestConfig",
    "IgnoredSetting",
    "SettingRefused",
    "SyntaxRefused",
    "Where",
    "read_config",
]
