#!/usr/bin/env bash
# Build the engine's images, tagged TAG, with docker or the program in CONTAINER_ENGINE. Prints their sizes.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${TAG:-dev} engine=${CONTAINER_ENGINE:-docker}
revision=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
for service in gateway order-worker timeout-worker keeper ledger-api notifier console storefront operator cli; do
  file=services/$service/Dockerfile
  [ "$service" != cli ] || file=cli/Dockerfile
  "$engine" build -q -t "flashsale/$service:$tag" --build-arg "VERSION=$tag" --build-arg "REVISION=$revision" -f "$file" . >/dev/null
  echo "flashsale/$service:$tag  $("$engine" image inspect -f '{{.Size}}' "flashsale/$service:$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
done
