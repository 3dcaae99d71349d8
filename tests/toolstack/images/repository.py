"""A package archive in a folder, for the real apt."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.toolstack.images.fake_packages import make_package
from toolstack.images.catalogue import PackageVersion


def make_repository(
    folder: Path, packages: dict[PackageVersion, dict[str, bytes]], depends: str = ""
) -> dict[str, str]:
    """The environment in which apt knows nothing but `packages`, after an update.

    depends: what every one of them depends on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number, (wanted, files) in enumerate(packages.items()):
        package = make_package(wanted, files, folder / f"pool{number}")
        content = package.read_bytes()
        name, _, architecture = wanted.package.partition(":")
        records.append(
            f"Package: {name}\nVersion: {wanted.version}\nArchitecture: {architecture or 'all'}\n"
            f"Filename: {package.relative_to(folder)}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
            + (f"Depends: {depends}\n" if depends else "")
        )
    (folder / "Packages").write_text("\n".join(records))
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}";\n'
    )
    return {"APT_CONFIG": str(configuration)}
