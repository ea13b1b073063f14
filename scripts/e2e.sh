#!/usr/bin/env bash
# Run the e2e suite; at its first failure it keeps what a person needs to see why, in .e2e/.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in kubectl helm; do
  command -v "$tool" >/dev/null || { echo "e2e: $tool is not on PATH" >&2; exit 1; }
done
# Cluster state changes under the suite's hands: one process, chapter after chapter.
exec .venv/bin/pytest tests/chart tests/e2e -q -s -x "$@"
