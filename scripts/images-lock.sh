#!/usr/bin/env bash
# Renew deploy/images.lock: the digest of each base image that a Dockerfile names. Needs docker's buildx and the images' registry.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=deploy/images.lock new=$(mktemp)
trap 'rm -f "$new"' EXIT
grep '^#' "$lock" >"$new"
while read -r image; do
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  echo "$image $digest" >>"$new"
done < <(sed -n 's/^ARG PYTHON_IMAGE=//p' services/*/Dockerfile cli/Dockerfile | sort -u)
# The file keeps its mode.
cat "$new" >"$lock"
