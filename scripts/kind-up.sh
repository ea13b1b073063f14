#!/usr/bin/env bash
# Make sure that a kind cluster with Ready nodes exists. A broken one, as after a reboot, is created again. kind-up.sh CLUSTER CONFIG
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=$1 config=$2
if grep -qxF "$cluster" <<<"$(kind get clusters 2>/dev/null)"; then
  kind export kubeconfig --name "$cluster" >/dev/null 2>&1 || true
  # The nodes of one that was just created may not be Ready yet.
  if kubectl --context "kind-$cluster" get nodes --request-timeout=30s >/dev/null 2>&1 &&
    kubectl --context "kind-$cluster" wait node --all --for=condition=Ready --timeout=120s >/dev/null 2>&1; then
    echo "kind-up: $cluster is up"
    exit 0
  fi
  echo "kind-up: $cluster exists but does not answer; creating it again"
  kind delete cluster --name "$cluster"
fi
kind create cluster --name "$cluster" --config "$config" --wait 180s
