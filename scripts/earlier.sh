#!/usr/bin/env bash
# Build the images of the earlier release that the upgrade test begins with, and load them into a kind cluster. earlier.sh CLUSTER
# The nodes' label says that they have them. Without that commit, as in a shallow clone, the test only changes the version of this chart.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cluster=$1 commit=$(cat tests/e2e/earlier-release)
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  say "SKIPPED: the images of the earlier release; this clone has no commit $commit"
  exit 0
fi
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive "$commit" | tar -x -C "$source"
# The images that this release had.
services=(gateway order-worker timeout-worker keeper operator cli)
SOURCE=$source TAG=earlier scripts/images.sh "${services[@]}"
images=()
for service in "${services[@]}"; do images+=("flashsale/$service:earlier"); done
# In one archive, because the images share most of their layers.
kind load docker-image "${images[@]}" --name "$cluster" >/dev/null 2>&1 || kind load docker-image "${images[@]}" --name "$cluster"
kubectl --context "kind-$cluster" label node --all --overwrite "flashsale.dev/earlier-release=$commit" >/dev/null
echo "loaded the images of $commit"
