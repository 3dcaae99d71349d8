#!/bin/sh
# Compiles what every request to xenstore-sim passes through, by mypyc, into a directory of its own:
# a copy of the package, with an extension module beside each source that was compiled. Whoever has
# that directory first on PYTHONPATH runs it; nobody else notices.
#
# Usage: compile-xenstore-sim.sh PYTHON DIRECTORY
set -eu

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
directory=$2

# Not xenstore_sim.wire.messages nor ring.shared_ring: mypyc cannot make their objects. The rest is
# seldom run.
modules="
    event_loop outgoing stream_connection ring_connection endpoint listener
    ring/byte_queue ring/page ring/server_end
    store/access store/accounts store/call store/commands store/connection store/daemon
    store/dispatch store/domains store/memory store/node store/node_ops store/notifier
    store/outbox store/quotas store/service store/session_ops store/shortcuts store/subtree
    store/transactions store/tree store/view store/watches
    wire/decoder wire/errors wire/layout wire/names wire/ops wire/perms wire/strings
"

rm -rf "$directory"
mkdir -p "$directory"
cp -r xenstore_sim pyproject.toml "$directory"
cd "$directory"
sources=""
for module in $modules; do
    sources="$sources xenstore_sim/$module.py"
done
# Word splitting is meant: a list of paths.
# shellcheck disable=SC2086
if ! MYPYC_OPT_LEVEL=2 "$python" -P -m mypyc --strict $sources >mypyc.log 2>&1; then
    echo "compile-xenstore-sim: mypyc failed, it needs a C compiler and Python's headers:" >&2
    tail -n 20 mypyc.log >&2
    exit 1
fi
"$python" -c "
import sys
import xenstore_sim.store.daemon as core
sys.exit(None if core.__file__.endswith('.so') else f'{core.__file__} is not compiled')"
echo "compiled: PYTHONPATH=$directory xenstore-sim ..."
