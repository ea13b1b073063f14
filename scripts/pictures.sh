#!/usr/bin/env bash
# Add to .venv what draws the pictures in docs/, as tools/requirements-pictures.lock says. Fast when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
python=$(find_python) || fail "Python 3.11 or newer is needed"
uv=$(find_uv "$python")
VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --require-hashes -r tools/requirements-pictures.lock
