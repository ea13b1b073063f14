#!/usr/bin/env bash
# Lint the GitHub workflows with the actionlint on PATH, or with one that Go builds into .bootstrap.
# Without both, print that the step is skipped; on GitHub, where the workflows run, fail.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
VERSION=v1.7.12
own=$PWD/.bootstrap/bin/actionlint
if command -v actionlint >/dev/null; then
  own=actionlint
elif [ ! -x "$own" ]; then
  if ! command -v go >/dev/null || ! GOBIN=$PWD/.bootstrap/bin go install "github.com/rhysd/actionlint/cmd/actionlint@$VERSION" >/dev/null 2>&1; then
    [ -z "${GITHUB_ACTIONS:-}" ] || fail "there is no actionlint, and Go could not build it"
    say "SKIPPED: the workflows are not linted; there is no actionlint, and no Go to build it"
    exit 0
  fi
fi
"$own" .github/workflows/*.yaml
