#!/usr/bin/env bash
# The images of the earlier release that the upgrade test begins with: build them, or load them into a kind cluster. earlier.sh build | earlier.sh load CLUSTER
# The nodes' label says that they have them. Without that commit, as in a shallow clone, the test only changes the version of this chart.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
commit=$(cat tests/e2e/earlier-release)
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  say "SKIPPED: the images of the earlier release; this clone has no commit $commit"
  exit 0
fi
# The images that this release had.
services=(gateway order-worker timeout-worker keeper operator cli)
case $1 in
  build)
    source=$(mktemp -d)
    trap 'rm -rf "$source"' EXIT
    git archive "$commit" | tar -x -C "$source"
    SOURCE=$source TAG=earlier scripts/images.sh "${services[@]}"
    ;;
  load)
    cluster=$2 images=()
    for service in "${services[@]}"; do images+=("flashsale/$service:earlier"); done
    kind_load "$cluster" "$(kind_workers "$cluster")" "${images[@]}"
    kubectl --context "kind-$cluster" label node --all --overwrite "flashsale.dev/earlier-release=$commit" >/dev/null
    echo "loaded the images of $commit"
    ;;
esac
