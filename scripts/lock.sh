#!/usr/bin/env bash
# Write requirements.lock anew: versions and hashes, no addresses (docs/decisions/0001).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
uv=$(command -v uv || echo .bootstrap/uv/bin/uv)
"$uv" lock --quiet --upgrade --exclude-newer "$(date -u -d '7 days ago' +%Y-%m-%d)"
"$uv" export --quiet --frozen --no-header --no-annotate --all-packages --no-emit-workspace --format requirements.txt >requirements.lock
say "requirements.lock has $(grep -c '==' requirements.lock) distributions"
