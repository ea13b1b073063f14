#!/usr/bin/env bash
# Run the e2e suite. At the first failure it stops and saves diagnostics in .e2e/.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in kubectl helm; do
  command -v "$tool" >/dev/null || { echo "e2e: $tool is not on PATH" >&2; exit 1; }
done
# kubectl runs thousands of times, each for a moment: without collecting garbage it needs a quarter less of the processor.
export GOGC=off GOMEMLIMIT=256MiB
# One process, one file after the other: the tests change the state of the cluster.
exec .venv/bin/pytest tests/e2e -q -s -x "$@"
