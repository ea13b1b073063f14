#!/usr/bin/env bash
# Make .venv hold exactly what requirements.lock says, and the workspace members. Needs Python >= 3.11; brings uv itself. Fast when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

MEMBERS=(libs/core libs/consumer libs/redis libs/local_stack services/gateway services/order-worker services/timeout-worker services/operator cli)
STAMP=.venv/.bootstrapped

python=$(find_python) || fail "Python 3.11 or newer is needed; install it (Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv)"
wanted=$({ "$python" --version; pwd; cat requirements.lock pyproject.toml ./*/*/pyproject.toml cli/pyproject.toml; } | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

# Its Python is gone or too old, or the folder was moved and the programs in it still name the old place: not worth mending.
usable_venv() {
  .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || return 1
  [ ! -e .venv/bin/pytest ] || grep -qF "$PWD/.venv/bin/" .venv/bin/pytest
}

uv=$(find_uv "$python")
say "installing Python packages into .venv"
export VIRTUAL_ENV="$PWD/.venv"
if ! usable_venv; then
  rm -rf .venv
  "$uv" venv --quiet --python "$python" .venv
fi
rm -f "$STAMP"
# In this order: sync removes what the lock does not name, the members among it.
"$uv" pip sync --quiet --require-hashes requirements.lock
editable=()
for member in "${MEMBERS[@]}"; do editable+=(-e "$member"); done
"$uv" pip install --quiet --no-deps "${editable[@]}"
echo "$wanted" >"$STAMP"
