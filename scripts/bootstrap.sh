#!/usr/bin/env bash
# Make .venv hold exactly what requirements.lock says, and the workspace members. Needs Python >= 3.11; brings uv itself. Fast when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

UV_VERSION=0.13.9
MEMBERS=(libs/core libs/consumer services/gateway services/order-worker services/timeout-worker cli)
STAMP=.venv/.bootstrapped

python=$(find_python) || fail "Python 3.11 or newer is needed; install it (Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv)"
wanted=$({ "$python" --version; pwd; cat requirements.lock pyproject.toml */*/pyproject.toml cli/pyproject.toml; } | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

# A uv of the user's is used when it runs and is not too old; else one of our own, in .bootstrap.
own_uv() {
  if [ ! -x .bootstrap/uv/bin/uv ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      need_packages "Python's venv module" "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    say "setting up uv $UV_VERSION in .bootstrap"
    "$python" -m venv .bootstrap/uv
    .bootstrap/uv/bin/pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
  fi
  echo .bootstrap/uv/bin/uv
}
uv=$(command -v uv || true)
if [ -z "$uv" ] || ! "$uv" --version >/dev/null 2>&1; then
  uv=$(own_uv)
fi

say "installing Python packages into .venv"
export UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV="$PWD/.venv"
rm -f "$STAMP"
[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
"$uv" pip sync --quiet --require-hashes requirements.lock
editable=()
for member in "${MEMBERS[@]}"; do editable+=(-e "$member"); done
"$uv" pip install --quiet --no-deps "${editable[@]}"
echo "$wanted" > "$STAMP"
