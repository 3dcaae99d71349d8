#!/bin/sh
# make-venv.sh PYTHON DIRECTORY: a virtual environment, or the one command that allows it.
set -eu
python=$1 venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "no $python here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" -V 2>&1), 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
# Debian ships Python without the part of venv that brings pip along.
if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing $package, which this Python came without ..." >&2
        apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "$package" >&2
    else
        echo "this Python came without venv; an administrator runs: apt-get install $package" >&2
        exit 1
    fi
fi
"$python" -m venv "$venv"
