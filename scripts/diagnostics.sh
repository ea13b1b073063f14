#!/usr/bin/env bash
# Collect from the e2e suite's namespaces: events, objects, logs (also from before a restart), Redis, queues. diagnostics.sh FOLDER
set -uo pipefail
folder=$1
mkdir -p "$folder"
kubectl get nodes -o wide >"$folder/nodes.txt" 2>&1
for namespace in $(kubectl get namespaces -o name | sed -n 's|^namespace/\(flashsale-e2e.*\)|\1|p'); do
  into=$folder/$namespace
  mkdir -p "$into"
  kubectl -n "$namespace" get events --sort-by=.lastTimestamp >"$into/events.txt" 2>&1
  kubectl -n "$namespace" get all,pvc,flashsales -o wide >"$into/objects.txt" 2>&1
  kubectl -n "$namespace" get flashsales -o yaml >"$into/flashsales.yaml" 2>&1
  kubectl -n "$namespace" describe pods >"$into/pods.txt" 2>&1
  for pod in $(kubectl -n "$namespace" get pods -o name); do
    kubectl -n "$namespace" logs "$pod" --all-containers --prefix --tail=2000 >"$into/${pod#pod/}.log" 2>&1
    kubectl -n "$namespace" logs "$pod" --all-containers --prefix --previous --tail=500 >"$into/${pod#pod/}.previous.log" 2>/dev/null
  done
  kubectl -n "$namespace" exec flashsale-rabbitmq-0 -c rabbitmq -- rabbitmqctl list_queues name messages consumers >"$into/queues.txt" 2>&1
  kubectl -n "$namespace" exec flashsale-redis-0 -c redis -- sh -c 'ls -laR /data' >"$into/redis-data.txt" 2>&1
  # shellcheck disable=SC2016
  redis_info='
    [ ! -d /tls/server ] || set -- --tls --cacert /tls/ca/ca.crt
    [ ! -d /tls/client ] || [ $# = 0 ] || set -- "$@" --cert /tls/client/tls.crt --key /tls/client/tls.key
    exec valkey-cli "$@" --user gateway --no-auth-warning INFO everything'
  # Only the Redis users of gateway and operator may run INFO.
  password=$(kubectl -n "$namespace" get secret flashsale-redis -o 'jsonpath={.data.gateway}' | base64 -d)
  kubectl -n "$namespace" exec flashsale-redis-0 -c redis -- env REDISCLI_AUTH="$password" sh -c "$redis_info" >"$into/redis-info.txt" 2>&1
  helm -n "$namespace" history flashsale >"$into/helm.txt" 2>&1
done
find "$folder" -type f -empty -delete
echo "diagnostics are in $folder" >&2
tail -n 40 "$folder"/*/events.txt >&2
