#!/usr/bin/env bash
# Run the e2e suite. At the first failure it stops and saves diagnostics in .e2e/.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in kubectl helm; do
  command -v "$tool" >/dev/null || { echo "e2e: $tool is not on PATH" >&2; exit 1; }
done
.venv/bin/pytest tests/chart -q -x -n 2 --dist loadfile
# One process, one file after the other: the tests change the state of the cluster.
exec .venv/bin/pytest tests/e2e -q -s -x "$@"
