{{/* Whether three Redis pods with Sentinels run, one of them the master. */}}
{{- define "flashsale.redis.failover" -}}
{{- if and .Values.redis.enabled (gt (int .Values.redis.replicas) 1) }}yes{{ end -}}
{{- end -}}

{{/* Whether a process in the pod changes settings of the running server: certificates, or what it logs in with. */}}
{{- define "flashsale.redis.reloads" -}}
{{- if or (include "flashsale.tls.serverSecret" (dict "root" . "server" "redis")) (include "flashsale.redis.failover" .) }}yes{{ end -}}
{{- end -}}

{{/* A shell function for the pods of Redis: it prints a sum of the passwords with which Redis and its Sentinel log in elsewhere. */}}
{{- define "flashsale.redis.loginSum" -}}
logins() { cat /secrets/replica /secrets/sentinel | sha256sum; }
{{- end -}}

{{/*
The domain of the Redis pods' Services, which have the names of the pods. Each has an address that outlives its pod: a Sentinel that tries
to reach the old address of a pod would take the new one for dead.
*/}}
{{- define "flashsale.redis.domain" -}}
{{ .Release.Namespace }}.svc
{{- end -}}

{{/* The addresses of the Sentinels, with commas between them. */}}
{{- define "flashsale.redis.sentinels" -}}
{{- $sentinels := list -}}
{{- range $number := until (int .Values.redis.replicas) }}
{{- $sentinels = append $sentinels (printf "%s-redis-%d.%s:26379" (include "flashsale.fullname" $) $number (include "flashsale.redis.domain" $)) }}
{{- end -}}
{{- join "," $sentinels -}}
{{- end -}}

{{/* Files in addition to those of a single server. The name by which the Sentinels know the master is `flashsale`. */}}
{{- define "flashsale.redis.failoverConfig" -}}
{{- $pod := printf "%s-redis" (include "flashsale.fullname" .) -}}
{{- $domain := include "flashsale.redis.domain" . -}}
# A replica may copy its master. A Sentinel may change who is the master, and nothing else.
replication-acl-rules: |
  replica resetkeys resetchannels -@all +auth +ping +psync +replconf
  sentinel resetkeys resetchannels &__sentinel__:hello -@all +auth +hello +ping +info +role +multi +exec +slaveof +replicaof +publish +subscribe +config|rewrite +client|setname +client|setinfo +client|kill +script|kill
# The Sentinels' own users: other Sentinels, and services, which may ask who the master is.
sentinel-acl-rules: |
  sentinel resetkeys resetchannels &__sentinel__:hello -@all +auth +hello +ping +info +role +publish +subscribe +client|setname +client|setinfo +sentinel|is-master-down-by-addr
  {{- range list "gateway" "timeout-worker" "operator" "audit" "keeper" "storefront" "probe" }}
  {{ . }} resetkeys resetchannels -@all +auth +hello +ping +client|setinfo +client|setname +sentinel|get-master-addr-by-name +sentinel|master{{ if eq . "probe" }} +acl|load{{ end }}
  {{- end }}
sentinel.conf: |
  {{- include "flashsale.tls.redisOptions" (dict "root" . "port" 26379) | nindent 2 }}
  dir /data
  aclfile /run/acl/sentinel.acl
  sentinel resolve-hostnames yes
  sentinel announce-hostnames yes
prepare.sh: |
  set -eu
  umask 077
  sh /config/acl.sh
  sh /config/users.sh /config/replication-acl-rules >> /run/acl/users.acl
  {
    echo "user default reset off"
    sh /config/users.sh /config/sentinel-acl-rules
    sh /config/reloader.sh +sentinel\|set +sentinel\|config
  } > /run/acl/sentinel.acl
  printf 'masteruser replica\nmasterauth %s\n' "$(cat /secrets/replica)" > /run/acl/replication.conf
  {
    printf 'sentinel sentinel-user sentinel\nsentinel sentinel-pass %s\n' "$(cat /secrets/sentinel)"
    printf 'sentinel auth-user flashsale sentinel\nsentinel auth-pass flashsale %s\n' "$(cat /secrets/sentinel)"
  } > /run/acl/sentinel-login.conf
# Prints the master of the newest failover that a Sentinel knows of: those of the other pods, and without `others` also this pod's own,
# which may have ended: its name, and what that Sentinel thinks of it. Prints nothing if none knows a master.
find-master.sh: |
  set -eu
  {
    for number in {{ until (int .Values.redis.replicas) | join " " }}; do
      [ "$POD_NAME" != "{{ $pod }}-$number" ] || continue
      timeout 3 {{ include "flashsale.tls.valkeyCli" $ }} -h "{{ $pod }}-$number.{{ $domain }}" -p 26379 --user probe --no-auth-warning sentinel master flashsale 2> /dev/null |
        awk 'key == "ip" { host = $0 } key == "flags" { flags = $0 } key == "config-epoch" { epoch = $0 } { key = $0 } END { if (host != "") print epoch, host, flags }' || true
    done
    if [ "${1:-}" != others ] && [ -r /data/sentinel.conf ]; then
      awk '$2 == "monitor" { host = $4 } $2 == "config-epoch" { epoch = $4 } END { if (host != "") print epoch + 0, host }' /data/sentinel.conf
    fi
  } | sort -n | tail -n 1 | cut -d " " -f 2-
start-redis.sh: |
  set -eu
  self=$POD_NAME.{{ $domain }}
  # A master waits while the Sentinels promote a replica: one that starts with an empty disk would empty its replicas, and what one
  # accepts that they have given up is lost. With its data it starts after 10 s, because there may be no replica to promote.
  seconds=0
  while seen=$(sh /config/find-master.sh others) && [ "${seen%% *}" = "$self" ]; do
    if [ -e /data/appendonlydir ]; then
      case $seen in *s_down*) [ "$seconds" -lt 10 ] || break ;; *) break ;; esac
    fi
    echo "waiting until the Sentinels name another master than this pod" >&2
    seconds=$((seconds + 1))
    sleep 1
  done
  master=$(sh /config/find-master.sh | cut -d " " -f 1)
  : "${master:={{ $pod }}-0.{{ $domain }}}"
  # The Sentinels write to this file. It has a password, and the data keep the usual mode.
  (umask 077 && touch /run/acl/valkey.conf)
  {
    echo "include /config/valkey.conf"
    cat /run/acl/replication.conf
    echo "replica-announce-ip $self"
    [ "$master" = "$self" ] || echo "replicaof $master 6379"
  } > /run/acl/valkey.conf
  exec valkey-server /run/acl/valkey.conf
# What a Sentinel learned is kept in its file; its settings are written again at each start.
start-sentinel.sh: |
  set -eu
  umask 077
  touch /data/sentinel.conf
  master=$(sh /config/find-master.sh | cut -d " " -f 1)
  : "${master:={{ $pod }}-0.{{ $domain }}}"
  {
    cat /config/sentinel.conf
    echo "sentinel announce-ip $POD_NAME.{{ $domain }}"
    grep -E '^sentinel (myid|current-epoch|monitor) ' /data/sentinel.conf || echo "sentinel monitor flashsale $master 6379 {{ add 1 (div (int .Values.redis.replicas) 2) }}"
    cat /run/acl/sentinel-login.conf
    # Two Sentinels that start at the same moment vote for themselves, and try again only after two failover-timeouts.
    echo "sentinel down-after-milliseconds flashsale $(( {{ int .Values.redis.sentinel.downAfterMilliseconds }} + 400 * ${POD_NAME##*-} ))"
    echo "sentinel failover-timeout flashsale {{ add 1000 (int .Values.redis.sentinel.downAfterMilliseconds) }}"
    echo "sentinel parallel-syncs flashsale {{ sub (int .Values.redis.replicas) 1 }}"
    grep -E '^sentinel (config-epoch|leader-epoch|known-replica|known-sentinel) ' /data/sentinel.conf || true
  } > /data/sentinel.conf.new
  mv /data/sentinel.conf.new /data/sentinel.conf
  {{- if include "flashsale.tls.serverSecret" (dict "root" . "server" "redis") }}
  # A Sentinel reads its certificates only when it starts. After a renewal they start again one after the other, so that two always work.
  {{ include "flashsale.tls.redisSum" . }}
  begun=$(certificates) renewed=0 ended=
  valkey-server /data/sentinel.conf --sentinel &
  server=$!
  trap 'ended=yes; kill "$server"' TERM
  while [ -z "$ended" ] && kill -0 "$server" 2> /dev/null && [ "$renewed" -le $((3 * ${POD_NAME##*-})) ]; do
    sleep 5 & wait $! || true
    [ "$(certificates)" = "$begun" ] || renewed=$((renewed + 1))
  done
  [ -n "$ended" ] || kill "$server" 2> /dev/null || true
  wait "$server" || status=$?
  [ "$renewed" -gt 0 ] && [ -z "$ended" ] || exit "${status:-0}"
  exec sh /config/start-sentinel.sh
  {{- else }}
  exec valkey-server /data/sentinel.conf --sentinel
  {{- end }}
{{- end -}}
