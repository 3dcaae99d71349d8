#!/bin/sh
# Installs the Debian packages the tests run against, as far as they are missing.
# Without the right to install: prints the command an administrator runs, exits with 1.
set -eu

packages="qemu-system-x86 seabios xenstore-utils nasm gcc libc6-dev lzop ovmf"

if ! command -v dpkg-query >/dev/null; then
    echo "install-test-packages: no dpkg here; the tests need what Debian calls: $packages" >&2
    exit 1
fi

# libxlutil, whose name has the Xen release in it.
xenmisc=$(dpkg-query --show --showformat='${Package}\n' 'libxenmisc4*' 2>/dev/null | tail -n 1)
if [ -z "$xenmisc" ]; then
    xenmisc=$(apt-cache pkgnames libxenmisc4 2>/dev/null | sort -V | tail -n 1)
fi
# xenstored itself. The tests compare with this release alone.
packages="$packages ${xenmisc:-libxenmisc4.17} xen-utils-4.17"

missing=""
for package in $packages; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "install-test-packages: the tests need packages that are not installed." >&2
    echo "An administrator installs them with:" >&2
    echo "    apt-get update && apt-get install --no-install-recommends -y$missing" >&2
    exit 1
fi

echo "install-test-packages: installing$missing" >&2
# The lists may be older than the archive: ask for them only if it fails without.
install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -y -qq"
# Word splitting is meant: the variables hold lists of words.
# shellcheck disable=SC2086
$install $missing >/dev/null || { $as_root apt-get update -qq >/dev/null && $install $missing >/dev/null; }
