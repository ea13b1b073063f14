#!/usr/bin/env bash
# Load the engine's images (tagged TAG) and the bundled servers' into a kind cluster. kind-load.sh CLUSTER
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=$1 tag=${TAG:-dev} engine=${CONTAINER_ENGINE:-docker}
images=()
for service in gateway order-worker timeout-worker keeper ledger-api notifier console storefront operator cli; do images+=("flashsale/$service:$tag"); done
# The chart with the laptop's values names the images of the bundled servers.
while read -r image; do images+=("$image"); done < <(helm template flashsale deploy/helm/flashsale --values deploy/kind/values.yaml --set generatedSecrets.withoutCluster=true | awk '$1 == "image:" && $2 !~ /^flashsale\// { print $2 }' | sort -u)
for image in "${images[@]}"; do "$engine" image inspect "$image" >/dev/null 2>&1 || "$engine" pull -q "$image" >/dev/null; done
# In one archive, because the images share most of their layers.
kind load docker-image "${images[@]}" --name "$cluster" >/dev/null 2>&1 || {
  echo "kind-load: the images could not be loaded into $cluster:" >&2
  kind load docker-image "${images[@]}" --name "$cluster"
}
printf 'loaded %s\n' "${images[@]}"
