#!/usr/bin/env bash
# Install tools/requirements-pictures.lock, which draws the pictures in docs/, into .venv. Fast when it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
python=$(find_python) || fail "Python 3.11 or newer is needed"
uv=$(find_uv "$python")
VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --require-hashes -r tools/requirements-pictures.lock
