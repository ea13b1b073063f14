#!/usr/bin/env bash
# Load the engine's images (tagged TAG) and the bundled servers' into a kind cluster. kind-load.sh CLUSTER
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cluster=$1 tag=${TAG:-dev} engine=${CONTAINER_ENGINE:-docker}
own=() servers=()
for service in gateway order-worker timeout-worker keeper ledger-api notifier console storefront operator cli; do own+=("flashsale/$service:$tag"); done
# The chart with the laptop's values names the images of the bundled servers.
while read -r image; do servers+=("$image"); done < <(helm template flashsale deploy/helm/flashsale --values deploy/kind/values.yaml --set generatedSecrets.withoutCluster=true | awk '$1 == "image:" && $2 !~ /^flashsale\// { print $2 }' | sort -u)
for image in "${own[@]}" "${servers[@]}"; do "$engine" image inspect "$image" >/dev/null 2>&1 || "$engine" pull -q "$image" >/dev/null; done
kind_load "$cluster" "$(kind_workers "$cluster")" "${own[@]}"
# deploy/kind/production.yaml lets these run on the control plane as well.
kind_load "$cluster" "$(kind get nodes --name "$cluster" 2>/dev/null | paste -sd,)" "${servers[@]}"
printf 'loaded %s\n' "${own[@]}" "${servers[@]}"
