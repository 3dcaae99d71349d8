"""Files of Debian packages, taken through apt without installing them and without root."""

from __future__ import annotations

import fnmatch
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from handoff.errors import ImageError, printable
from toolstack.images.catalogue import PackageVersion

FILE_MAX_BYTES = 256 << 20
"""Largest file taken from a package."""
_LOOKUP_TIMEOUT_S = 60.0
_DOWNLOAD_TIMEOUT_S = 600.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
_KEPT_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "APT_CONFIG")


class AptFailed(ImageError):
    """apt ran and could not do it: its lists may be missing or older than the archive."""


class Apt:
    """The packages apt knows on this machine."""

    def __init__(self, environment: Mapping[str, str], options: Sequence[str] = ()) -> None:
        """environment: the caller's; only proxies and apt's configuration are taken from it.

        options: for every call of apt.
        """
        kept = {name: environment[name] for name in _KEPT_VARIABLES if name in environment}
        self._environment = _ENVIRONMENT | kept
        self._options = tuple(options)

    @classmethod
    def with_own_lists(
        cls, environment: Mapping[str, str], folder: Path, foreign: Sequence[str] = ()
    ) -> Apt:
        """apt with lists fetched just now into `folder`, from the sources of this machine:
        what `apt-get update` does, without root.

        foreign: architectures besides this machine's. Raises: ImageError.
        """
        for kept in ("lists/partial", "archives/partial"):
            (folder / kept).mkdir(parents=True, exist_ok=True)
        options = (
            *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}"),
            # Root's apt would give up its rights, and could not write here then.
            *("-o", "APT::Sandbox::User=root"),
            *("-o", "Acquire::Languages=none"),
        )
        own = cls(environment, options)
        own._update()
        if not foreign:
            return own
        architectures = (own._architecture(), *foreign)
        named = [word for name in architectures for word in ("-o", f"APT::Architectures::={name}")]
        both = cls(environment, (*options, *named))
        # An index of another architecture is not on every mirror and in every suite; a package
        # that is in none of them is named when it is asked for.
        with suppress(AptFailed):
            both._update()
        return both

    def _update(self) -> None:
        self._run(
            ("apt-get", "update", "--quiet"), "fetch apt's lists", timeout_s=_DOWNLOAD_TIMEOUT_S
        )

    def _architecture(self) -> str:
        """This machine's, as apt names it."""
        shell = self._run(
            ("apt-config", "shell", "name", "APT::Architecture"),
            "ask apt for its architecture",
            timeout_s=_LOOKUP_TIMEOUT_S,
        )
        return shell.decode("ascii", "replace").partition("=")[2].strip().strip("'")

    def newest(self, package: str) -> PackageVersion:
        """The version apt would install. Raises: ImageError."""
        return PackageVersion(package, self._field(package, "Version"))

    def dependency(self, package: str, prefix: str) -> PackageVersion:
        """The newest version of the first dependency of `package` whose name starts with
        `prefix`. Raises: ImageError."""
        depends = self._field(package, "Depends")
        for alternative in depends.replace("|", ",").split(","):
            name = alternative.split("(")[0].strip()
            if name.startswith(prefix):
                _, colon, architecture = package.partition(":")
                return self.newest(name + colon + architecture)
        raise ImageError(f"Debian package {package} depends on no {prefix}* but on {depends}")

    def download(self, wanted: PackageVersion, into: Path) -> Path:
        """The downloaded package file, in the empty folder `into`. Raises: ImageError."""
        self._run(
            ("apt-get", "download", "--quiet", f"{wanted.package}={wanted.version}"),
            f"download {wanted}",
            timeout_s=_DOWNLOAD_TIMEOUT_S,
            cwd=into,
        )
        found = list(into.glob("*.deb"))
        if len(found) != 1:
            raise ImageError(f"apt-get downloaded {len(found)} files for {wanted}, expected one")
        return found[0]

    def _field(self, package: str, field: str) -> str:
        record = self._run(
            ("apt-cache", "show", "--no-all-versions", package),
            f"find Debian package {package}",
            timeout_s=_LOOKUP_TIMEOUT_S,
        )
        for line in record.decode("utf-8", "replace").splitlines():
            name, separator, value = line.partition(": ")
            if separator and name == field:
                return value.strip()
        raise AptFailed(f"apt-cache knows no {field} of {package}: look at apt's sources")

    def _run(
        self, command: Sequence[str], doing: str, *, timeout_s: float, cwd: Path | None = None
    ) -> bytes:
        try:
            done = subprocess.run(
                (command[0], *self._options, *command[1:]),
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                env=self._environment,
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise ImageError(
                f"cannot {doing}: {command[0]} is not there; the images come from Debian "
                "packages, so build them on Debian and set STUBDOM_DIRECT_BOOT_CACHE"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ImageError(
                f"cannot {doing}: {command[0]} gave nothing for {timeout_s:g} s"
            ) from error
        except subprocess.CalledProcessError as error:
            raise AptFailed(
                f"cannot {doing}: {_last_error(error.stderr)}; "
                "look at the network and at apt's sources"
            ) from error
        return done.stdout


def extract(package_file: Path, path: str) -> bytes:
    """The one file of a .deb whose path matches `path`.

    path: without a leading slash; the last part may hold shell wildcards. Raises: ImageError.
    """
    reader = ("dpkg-deb", "--fsys-tarfile", str(package_file))
    try:
        with subprocess.Popen(
            reader, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
        ) as unpacker:
            assert unpacker.stdout is not None
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                content = _find(archive, path)
            unpacker.kill()
    except FileNotFoundError as error:
        raise ImageError(f"cannot unpack {package_file}: dpkg-deb is not there") from error
    except tarfile.TarError as error:
        raise ImageError(f"cannot unpack {package_file}: {error}") from error
    if content is None:
        raise ImageError(f"{package_file.name} holds no file {path}")
    return content


def _find(archive: tarfile.TarFile, path: str) -> bytes | None:
    for member in archive:
        if not member.isfile() or not fnmatch.fnmatchcase(member.name.removeprefix("./"), path):
            continue
        if member.size > FILE_MAX_BYTES:
            raise ImageError(f"{member.name} is {member.size} bytes, limit {FILE_MAX_BYTES}")
        file = archive.extractfile(member)
        assert file is not None, member.name
        return file.read()
    return None


def _last_error(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("E:")] or lines or ["no reason given"]
    return printable(errors[-1], 300)
