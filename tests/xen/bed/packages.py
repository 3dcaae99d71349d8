"""Debian packages with all that they depend on, whatever this machine has installed.

apt is given an empty list of installed packages and folders of its own: nothing is installed,
no root is needed, and the machine's apt is left alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.xen.bed.errors import BedError
from tests.xen.bed.recipe import ARCHITECTURE

_UPDATE_TIMEOUT_S: Final = 300
_DOWNLOAD_TIMEOUT_S: Final = 900
_LISTS_KEPT_S: Final = 24 * 3600
_INSTALLED: Final = re.compile(r"^Inst (\S+) \((\S+) .*?\[(\w+)\]\)", re.MULTILINE)
"""A line of `--simulate`: Inst NAME (VERSION ORIGINS [ARCHITECTURE])"""
_KEPT_VARIABLES: Final = ("PATH", "http_proxy", "https_proxy", "no_proxy", "APT_CONFIG")


class Archive:
    """apt's packages, seen as on a machine on which nothing is installed."""

    def __init__(self, folder: Path) -> None:
        """folder: for lists and downloaded packages; kept between builds."""
        self._folder = folder
        for kept in ("lists/partial", "cache/archives/partial"):
            (folder / kept).mkdir(parents=True, exist_ok=True)
        (folder / "installed").touch()
        self._options = (
            *("-o", f"Dir::State::status={folder}/installed"),
            *("-o", f"Dir::State::lists={folder}/lists"),
            *("-o", f"Dir::Cache={folder}/cache"),
            *(
                "-o",
                f"APT::Architecture={ARCHITECTURE}",
                "-o",
                f"APT::Architectures={ARCHITECTURE}",
            ),
            # Root's apt would give up its rights, and could not write here then.
            *("-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Retries=3", "-o", "APT::Get::List-Cleanup=false"),
        )

    def refresh(self) -> None:
        """Fetches apt's lists, where those of the last time are a day old. Raises: BedError."""
        stamp = self._folder / "refreshed"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _LISTS_KEPT_S:
            return
        self._run(("apt-get", "--quiet", "update"), "fetch apt's lists", _UPDATE_TIMEOUT_S)
        stamp.touch()

    def dependency(self, package: str, prefix: str) -> str:
        """The first package `package` depends on whose name has the prefix. Raises: BedError."""
        record = self._run(
            ("apt-cache", "show", "--no-all-versions", package), f"find {package}", 60
        )
        for line in record.splitlines():
            if line.startswith("Depends: "):
                names = (each.split()[0] for each in line.removeprefix("Depends: ").split(","))
                for name in names:
                    if name.startswith(prefix):
                        return name
        raise BedError(f"Debian package {package} depends on no {prefix}*: look at apt's sources")

    def with_dependencies(self, packages: Sequence[str]) -> tuple[Path, ...]:
        """Package files of these and of all that they depend on. Raises: BedError."""
        return self._fetch(packages, "install")

    def alone(self, packages: Sequence[str]) -> tuple[Path, ...]:
        """Package files of these alone. Raises: BedError."""
        wanted = ("apt-get", "--quiet", "--print-uris", "download", *packages)
        names = _named(self._run(wanted, f"find {' '.join(packages)}", 60))
        archives = self._folder / "cache" / "archives"
        missing = [name for name in names if not (archives / name).exists()]
        if missing:
            self._run(
                ("apt-get", "--quiet", "download", *packages),
                f"download {' '.join(packages)}",
                _DOWNLOAD_TIMEOUT_S,
                cwd=archives,
            )
        return tuple(archives / name for name in names)

    def _fetch(self, packages: Sequence[str], verb: str) -> tuple[Path, ...]:
        common = ("apt-get", "--quiet", "--yes", "--no-install-recommends")
        wanted = (*common, "--print-uris", verb, *packages)
        archives = self._folder / "cache" / "archives"
        # What is there already has no URI any more, so ask before and look in the folder after.
        simulated = self._run((*common, "--simulate", verb, *packages), "resolve packages", 60)
        missing = _named(self._run(wanted, "resolve packages", 60))
        if missing:
            self._run(
                (*common, "--download-only", verb, *packages),
                f"download {len(missing)} packages",
                _DOWNLOAD_TIMEOUT_S,
            )
        return tuple(_installed(simulated, archives))

    def _run(
        self, command: Sequence[str], doing: str, timeout_s: float, cwd: Path | None = None
    ) -> str:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            done = subprocess.run(
                (command[0], *self._options, *command[1:]),
                env=kept | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=True,
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise BedError(
                f"cannot {doing}: no {command[0]} here; the bed is built of Debian packages, "
                "so build it on Debian 12"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise BedError(
                f"cannot {doing}: {command[0]} was not done within {timeout_s:g} s; "
                "look at the network"
            ) from error
        except subprocess.CalledProcessError as error:
            reasons = [line for line in error.stderr.splitlines() if line.startswith("E:")]
            raise BedError(
                f"cannot {doing}: {(reasons or ['no reason given'])[0]}; look at the network and "
                "at apt's sources, which must offer Debian 12 (bookworm)"
            ) from error
        return done.stdout


def _named(uris: str) -> tuple[str, ...]:
    """File names of `--print-uris`: lines of 'URI' NAME SIZE DIGEST."""
    return tuple(line.split()[1] for line in uris.splitlines() if line.startswith("'"))


def _installed(simulated: str, archives: Path) -> Iterator[Path]:
    """Files of the packages that apt would install."""
    for name, version, architecture in _INSTALLED.findall(simulated):
        path = archives / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        if not path.exists():
            raise BedError(f"apt did not leave {path.name} in {archives}")
        yield path
