#!/usr/bin/env bash
# A kind cluster whose nodes are Ready: one that is up is kept, one that a cut or a reboot left behind is made anew. kind-up.sh CLUSTER CONFIG
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=$1 config=$2
if kind get clusters 2>/dev/null | grep -qxF "$cluster"; then
  kind export kubeconfig --name "$cluster" >/dev/null 2>&1 || true
  if kubectl --context "kind-$cluster" wait node --all --for=condition=Ready --timeout=30s >/dev/null 2>&1; then
    echo "kind-up: $cluster is up"
    exit 0
  fi
  echo "kind-up: $cluster is there but does not answer; making it anew"
  kind delete cluster --name "$cluster"
fi
kind create cluster --name "$cluster" --config "$config" --wait 180s
