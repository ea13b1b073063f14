#!/usr/bin/env bash
# Build images, tagged TAG, with docker or the program in CONTAINER_ENGINE, and print their sizes. images.sh [SERVICE...]
# Without arguments, all images. SOURCE is the folder of another checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
cd "${SOURCE:-.}"
export tag=${TAG:-dev} engine=${CONTAINER_ENGINE:-docker} revision
revision=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ $# -gt 0 ] || set -- gateway order-worker timeout-worker keeper ledger-api notifier console storefront operator cli
build() { # SERVICE
  local file=services/$1/Dockerfile
  [ "$1" != cli ] || file=cli/Dockerfile
  "$engine" build -q -t "flashsale/$1:$tag" --build-arg "VERSION=$tag" --build-arg "REVISION=$revision" -f "$file" . >/dev/null
  echo "flashsale/$1:$tag  $("$engine" image inspect -f '{{.Size}}' "flashsale/$1:$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
}
export -f build
# The first one makes the layers that all have. Then two at once: one computes while the other waits for the network or the disk.
build "$1"
shift
printf '%s\n' "$@" | xargs -r -P 2 -I SERVICE bash -euo pipefail -c 'build SERVICE'
