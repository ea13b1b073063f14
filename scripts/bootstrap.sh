#!/usr/bin/env bash
# Install exactly requirements.lock and the workspace members into .venv. Needs Python >= 3.11, and installs uv itself. Fast when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

MEMBERS=(libs/core libs/consumer libs/redis libs/ledger libs/recovery libs/audit libs/local_stack libs/chaos services/gateway services/order-worker services/timeout-worker services/keeper services/ledger-api services/notifier services/console services/storefront services/operator cli clients/python)
STAMP=.venv/.bootstrapped

python=$(find_python) || fail "Python 3.11 or newer is needed; install it (Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv)"
wanted=$({ "$python" --version; pwd; cat requirements.lock pyproject.toml ./*/*/pyproject.toml cli/pyproject.toml; } | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

# Fails if Python is gone or too old, or if the folder was moved and its programs name the old path. Such a .venv is created again.
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
# In this order: sync removes what the lock does not name, which includes the members.
"$uv" pip sync --quiet --require-hashes requirements.lock
editable=()
for member in "${MEMBERS[@]}"; do editable+=(-e "$member"); done
"$uv" pip install --quiet --no-deps "${editable[@]}"
echo "$wanted" >"$STAMP"
