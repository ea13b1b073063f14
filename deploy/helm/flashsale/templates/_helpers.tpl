{{- define "flashsale.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "flashsale.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "flashsale.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "flashsale.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The installation's name: at most 63 characters, as `flashsale migrate --initialise` accepts. */}}
{{- define "flashsale.installation" -}}
{{- $name := .Values.installation.name | default (printf "%s.%s" .Release.Namespace (include "flashsale.fullname" .)) -}}
{{- if gt (len $name) 63 }}{{ printf "%s-%s" (trunc 52 $name) ($name | sha256sum | trunc 10) }}{{ else }}{{ $name }}{{ end -}}
{{- end -}}

{{/* Selectors never change: a StatefulSet or Deployment refuses another one. (dict "root" $ "component" "gateway") */}}
{{- define "flashsale.selector" -}}
app.kubernetes.io/name: {{ include "flashsale.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Maps written over each other, so that no key appears twice, which Helm 4 refuses. The last map wins. (list $map $map) */}}
{{- define "flashsale.merged" -}}
{{- $merged := dict -}}
{{- range . }}{{ $merged = mergeOverwrite $merged (deepCopy (. | default dict)) }}{{ end -}}
{{- toYaml $merged -}}
{{- end -}}

{{/* The labels of an object. (dict "root" $ "component" "gateway" "extra" .Values.gateway.podLabels) */}}
{{- define "flashsale.labels" -}}
{{- $release := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "flashsale"
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
-}}
{{- include "flashsale.merged" (list $release .root.Values.commonLabels .extra (include "flashsale.selector" . | fromYaml)) -}}
{{- end -}}

{{/*
Labels of the bundled servers' pods. They contain no version, so that an upgrade of the engine does not restart the servers during a sale.
*/}}
{{- define "flashsale.serverLabels" -}}
{{- include "flashsale.merged" (list (dict "app.kubernetes.io/part-of" "flashsale") .root.Values.commonLabels .extra (include "flashsale.selector" . | fromYaml)) -}}
{{- end -}}

{{/* A value as text. helm reads numbers as floating point and would write a million as 1e+06. */}}
{{- define "flashsale.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* A size in bytes. Redis writes 512mb and 1gb; Kubernetes writes 512Mi, 1Gi and 1G. */}}
{{- define "flashsale.bytes" -}}
{{- $text := include "flashsale.text" . | lower -}}
{{- $units := dict "" 1 "b" 1 "k" 1000 "m" 1000000 "g" 1000000000 "kb" 1024 "mb" 1048576 "gb" 1073741824 "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776 "kib" 1024 "mib" 1048576 "gib" 1073741824 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[a-z]*$" $text) | default 1 | float64) | printf "%.0f" -}}
{{- end -}}

{{/* registry/repository:tag@digest; image.registry is the registry of the engine's own images. (dict "root" $ "image" .Values.gateway.image "own" true) */}}
{{- define "flashsale.image" -}}
{{- $registry := .image.registry -}}
{{- if .own }}{{ $registry = $registry | default .root.Values.image.registry }}{{ end -}}
{{- $registry = (.root.Values.global).imageRegistry | default $registry -}}
{{- $tag := .image.tag -}}
{{- if and .own (not $tag) -}}{{- $tag = .root.Values.image.tag | default .root.Chart.AppVersion -}}{{- end -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "flashsale.pullSecrets" -}}
{{- $names := list -}}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
{{- $names = append $names (kindIs "map" . | ternary . (dict "name" .)).name }}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Whether helm runs the hooks itself. `helm template` renders for other tools, mostly `kubectl apply`, which would run every hook at once,
even the one before an uninstall. Kinds such as v1/Pod are known only when helm has asked a cluster.
*/}}
{{- define "flashsale.hooks" -}}
{{- /* `helm upgrade --reuse-values` from an earlier release brings values without this key. */ -}}
{{- if and (.Values.hooks | default (dict "enabled" true)).enabled (.Capabilities.APIVersions.Has "v1/Pod") }}yes{{ end -}}
{{- end -}}

{{/*
Whether lookups reach a cluster. Every namespace has the ServiceAccount `default`, which whoever installs this chart may read. With
--create-namespace there is no namespace yet, and its creator may read others.
*/}}
{{- define "flashsale.cluster" -}}
{{- if or (lookup "v1" "ServiceAccount" .Release.Namespace "default") (lookup "v1" "Namespace" "" "kube-system") }}yes{{ end -}}
{{- end -}}

{{/* Whether gateways have an admin port. `helm upgrade --reuse-values` from an earlier release brings values without gateway.admin. */}}
{{- define "flashsale.adminPort" -}}
{{- if (.Values.gateway.admin).enabled }}yes{{ end -}}
{{- end -}}

{{/* Whether the ledger-api runs. `helm upgrade --reuse-values` from an earlier release brings values without ledgerApi. */}}
{{- define "flashsale.ledgerApi" -}}
{{- if (.Values.ledgerApi).enabled }}yes{{ end -}}
{{- end -}}

{{/* The port of an http or https URL: the one that it names, or the default of its scheme. */}}
{{- define "flashsale.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}

{{- define "flashsale.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "flashsale.podSecurity" -}}
{{- include "flashsale.merged" (list (dict "seccompProfile" (dict "type" "RuntimeDefault")) .podSecurityContext (dict "runAsNonRoot" true)) -}}
{{- end -}}

{{/*
Tolerations of a pod. A component without a volume leaves a dead node after nodeLossTolerationSeconds, where Kubernetes waits for 300 s;
a toleration of your own for the same taint takes precedence.
*/}}
{{- define "flashsale.tolerations" -}}
{{- $all := .c.tolerations | default list -}}
{{- $seconds := .root.Values.nodeLossTolerationSeconds -}}
{{- if not (or (kindIs "invalid" $seconds) (has .component (list "redis" "rabbitmq" "postgresql"))) -}}
{{- range $taint := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" -}}
{{- $own := false -}}
{{- range $.c.tolerations }}{{ if has (.key | default $taint) (list $taint) }}{{ $own = true }}{{ end }}{{ end -}}
{{- if not $own }}{{ $all = append $all (dict "key" $taint "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $seconds)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Scheduling of a pod. (dict "root" $ "c" .Values.gateway "component" "gateway") */}}
{{- define "flashsale.scheduling" -}}
{{- with .c.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .c.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "flashsale.tolerations" . | fromYamlArray }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- /* A bundled server of one pod has nothing to spread, and a change of its pod would restart it. */}}
{{- $several := has .component (list "redis" "rabbitmq" "postgresql") | ternary (gt (int .c.replicas) 1) true }}
{{- if .c.affinity }}
affinity:
  {{- toYaml .c.affinity | nindent 2 }}
{{- else if and $several (not .c.topologySpreadConstraints) }}
{{- /* No second constraint: the scheduler would score no node that has no zone, and without zones pods would not be spread over nodes either. */}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: topology.kubernetes.io/zone
          labelSelector:
            matchLabels:
              {{- include "flashsale.selector" . | nindent 14 }}
{{- end }}
topologySpreadConstraints:
{{- if .c.topologySpreadConstraints }}
  {{- toYaml .c.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    {{- if and (has .component (list "redis" "rabbitmq")) $several }}
    {{- /* Servers that need a majority must not lose it with one node. */}}
    whenUnsatisfiable: DoNotSchedule
    nodeTaintsPolicy: Honor
    {{- else }}
    whenUnsatisfiable: ScheduleAnyway
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "flashsale.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Scheduling of the pods of jobs, hooks and tests. */}}
{{- define "flashsale.jobPlacement" -}}
{{- with .Values.cli.priorityClassName | default .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.cli.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.cli.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.cli.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Names of Secrets: the merchant's own, or the one that the chart creates once. */}}
{{- define "flashsale.secret.credentials" -}}
{{- .Values.credentials.existingSecret | default (printf "%s-credentials" (include "flashsale.fullname" .)) -}}
{{- end -}}
{{- define "flashsale.secret.identity" -}}
{{- .Values.credentials.existingSecret | default (printf "%s-identity" (include "flashsale.fullname" .)) -}}
{{- end -}}
{{- define "flashsale.secret.redis" -}}
{{- .Values.redis.auth.existingSecret | default (printf "%s-redis" (include "flashsale.fullname" .)) -}}
{{- end -}}
{{- define "flashsale.secret.rabbitmq" -}}
{{- .Values.rabbitmq.auth.existingSecret | default (printf "%s-rabbitmq" (include "flashsale.fullname" .)) -}}
{{- end -}}
{{- define "flashsale.secret.postgresql" -}}
{{- .Values.postgresql.auth.existingSecret | default (printf "%s-postgresql" (include "flashsale.fullname" .)) -}}
{{- end -}}

{{/* The passwords of the superuser and of the services' roles; your own Secret has them as well as the owner's. */}}
{{- define "flashsale.secret.roles" -}}
{{- .Values.postgresql.auth.existingSecret | default (printf "%s-postgresql-roles" (include "flashsale.fullname" .)) -}}
{{- end -}}

{{/* The password of the ledger-api's role: in a Secret of its own, because that of an earlier release cannot get a further key. */}}
{{- define "flashsale.secret.ledgerApi" -}}
{{- .Values.postgresql.auth.existingSecret | default (printf "%s-postgresql-ledger-api" (include "flashsale.fullname" .)) -}}
{{- end -}}

{{/* Whether the notifier runs. `helm upgrade --reuse-values` from an earlier release brings values without notifier. */}}
{{- define "flashsale.notifier" -}}
{{- if (.Values.notifier).enabled }}yes{{ end -}}
{{- end -}}

{{/* A service's password for a bundled server that is in a Secret of its own. (dict "root" $ "server" "rabbitmq" "service" "notifier") */}}
{{- define "flashsale.secret.ofService" -}}
{{- (get .root.Values .server).auth.existingSecret | default (printf "%s-%s-%s" (include "flashsale.fullname" .root) .server .service) -}}
{{- end -}}

{{/* Whether the console runs. `helm upgrade --reuse-values` from an earlier release brings values without console. */}}
{{- define "flashsale.console" -}}
{{- if (.Values.console).enabled }}yes{{ end -}}
{{- end -}}

{{/* Whether the storefront runs. `helm upgrade --reuse-values` from an earlier release brings values without storefront. */}}
{{- define "flashsale.storefront" -}}
{{- if (.Values.storefront).enabled }}yes{{ end -}}
{{- end -}}

{{/* The origin at which buyers reach the storefront: as the values name it, or the first host of the Ingress. Empty if it is not known. */}}
{{- define "flashsale.storefront.origin" -}}
{{- $named := (.Values.storefront).publicUrl -}}
{{- if $named }}{{ $named }}
{{- else if and (include "flashsale.storefront" .) .Values.ingress.enabled -}}
{{- $host := first .Values.ingress.hosts | default "" -}}
{{- $scheme := "http" -}}
{{- range .Values.ingress.tls }}{{ if or (not .hosts) (has $host .hosts) }}{{ $scheme = "https" }}{{ end }}{{ end -}}
{{- if not (hasPrefix "*" $host) }}{{ $scheme }}://{{ $host | lower }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Links of a dashboard to the pages, as far as the values say where browsers open them: a list as JSON. */}}
{{- define "flashsale.dashboard.links" -}}
{{- $links := list -}}
{{- $link := dict "type" "link" "icon" "external link" "targetBlank" true "asDropdown" false "includeVars" false "keepTime" false "tags" list -}}
{{- if include "flashsale.console" .root }}
{{- /* A loopback address is for `kubectl port-forward`, which Grafana's reader need not have. */ -}}
{{- range .root.Values.console.origins }}
{{- if and (not $links) (not (regexMatch "^https?://(127\\.|localhost|\\[::1\\])" .)) }}{{ $links = append $links (merge (dict "title" "Console" "url" . "tooltip" "What needs attention") $link) }}{{ end }}
{{- end }}
{{- end }}
{{- if and .isOfSale (include "flashsale.storefront" .root) }}
{{- with include "flashsale.storefront.origin" .root }}{{ $links = append $links (merge (dict "title" "Page of the sale" "url" (printf "%s/s/${sale}" .) "tooltip" "As buyers see it. Choose one sale first") $link) }}{{ end }}
{{- end }}
{{- $links | toJson -}}
{{- end -}}

{{/* Connection URLs as environment variables. The password comes first, because Kubernetes expands $(NAME) only from variables above. */}}
{{- define "flashsale.env.redis" -}}
{{- $scheme := include "flashsale.tls.serverSecret" (dict "root" .root "server" "redis") | empty | ternary "redis" "rediss" }}
{{- if .root.Values.redis.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret | default (include "flashsale.secret.redis" .root) }}
      key: {{ .user }}
- name: REDIS_URL
  {{- if include "flashsale.redis.failover" .root }}
  value: {{ $scheme }}+sentinel://{{ .user }}:$(REDIS_PASSWORD)@{{ include "flashsale.redis.sentinels" .root }}/flashsale?sentinel_username={{ .user }}&sentinel_password=$(REDIS_PASSWORD)
  {{- else }}
  value: {{ $scheme }}://{{ .user }}:$(REDIS_PASSWORD)@{{ include "flashsale.fullname" .root }}-redis:6379/0
  {{- end }}
{{- else }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.externalRedis.existingSecret }}
      key: {{ get .root.Values.externalRedis.urlKeys .urlKey | default .root.Values.externalRedis.urlKey }}
{{- end }}
{{- end -}}

{{/* The nodes of the bundled RabbitMQ as HOST:PORT, with commas between. */}}
{{- define "flashsale.rabbitmq.hosts" -}}
{{- $name := printf "%s-rabbitmq" (include "flashsale.fullname" .) -}}
{{- range $index := until (int .Values.rabbitmq.replicas) }}{{ ternary "," "" (gt $index 0) }}{{ $name }}-{{ $index }}.{{ $name }}-nodes.{{ $.Release.Namespace }}.svc:{{ include "flashsale.rabbitmq.port" $ }}{{ end }}
{{- end -}}

{{- define "flashsale.env.amqp" -}}
{{- if .root.Values.rabbitmq.enabled }}
- name: AMQP_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret | default (include "flashsale.secret.rabbitmq" .root) }}
      key: {{ .user }}
- name: AMQP_URL
  value: {{ include "flashsale.tls.serverSecret" (dict "root" .root "server" "rabbitmq") | empty | ternary "amqp" "amqps" }}://{{ .user }}:$(AMQP_PASSWORD)@{{ include "flashsale.fullname" .root }}-rabbitmq:{{ include "flashsale.rabbitmq.port" .root }}{{ include "flashsale.rabbitmq.vhostPath" .root.Values.rabbitmq.vhost }}
{{- if gt (int .root.Values.rabbitmq.replicas) 1 }}
# The Service leads to a dead node until Kubernetes notices, which takes 40 s.
- name: FLASHSALE_AMQP_HOSTS
  value: {{ include "flashsale.rabbitmq.hosts" .root }}
{{- end }}
{{- else if .root.Values.rabbitmqTopology.enabled }}
{{- /* The topology operator generates a name and a password of URL-safe letters, and writes them into this Secret. */}}
{{- $cluster := .root.Values.rabbitmqTopology.cluster }}
{{- range list (list "AMQP_USER" "username") (list "AMQP_PASSWORD" "password") }}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "flashsale.fullname" $.root }}-{{ $.user }}-user-credentials
      key: {{ index . 1 }}
{{- end }}
- name: AMQP_URL
  value: {{ $cluster.tls | ternary "amqps" "amqp" }}://$(AMQP_USER):$(AMQP_PASSWORD)@{{ $cluster.name }}.{{ $cluster.namespace | default .root.Release.Namespace }}.svc:{{ $cluster.tls | ternary 5671 5672 }}{{ include "flashsale.rabbitmq.vhostPath" .root.Values.rabbitmqTopology.vhost }}
{{- else }}
- name: AMQP_URL
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.externalRabbitmq.existingSecret }}
      key: {{ get .root.Values.externalRabbitmq.urlKeys .urlKey | default .root.Values.externalRabbitmq.urlKey }}
{{- end }}
{{- end -}}

{{/*
The database, as the role of a service, or without `role` as the owner of the tables. (dict "root" $ "urlKey" "orderWorker" "role" "writer")
`secret` and `key`: where the role's password is, unless it is the role's key of the services' Secret.
*/}}
{{- define "flashsale.env.database" -}}
{{- if .root.Values.postgresql.enabled }}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- if .role }}
      name: {{ .secret | default (include "flashsale.secret.roles" .root) }}
      key: {{ .key | default .role }}
      {{- else }}
      name: {{ include "flashsale.secret.postgresql" .root }}
      key: password
      {{- end }}
- name: DATABASE_URL
  value: postgresql://flashsale{{ with .role }}_{{ . }}{{ end }}:$(POSTGRES_PASSWORD)@{{ include "flashsale.fullname" .root }}-postgresql:5432/flashsale{{ if include "flashsale.tls.serverSecret" (dict "root" .root "server" "postgresql") }}?sslmode=verify-full{{ end }}
{{- else }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.externalPostgresql.existingSecret }}
      key: {{ get .root.Values.externalPostgresql.urlKeys .urlKey | default .root.Values.externalPostgresql.urlKey }}
{{- end }}
{{- end -}}

{{- define "flashsale.env.windows" -}}
- name: FLASHSALE_PAYMENT_WINDOWS
  value: {{ join "," .Values.paymentWindows | quote }}
{{- end -}}

{{- define "flashsale.env.credential" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "flashsale.secret.credentials" .root }}
      key: {{ .key }}
{{- end -}}

{{- define "flashsale.env.common" -}}
- name: FLASHSALE_LOG_LEVEL
  value: {{ .root.Values.logLevel | quote }}
- name: FLASHSALE_SHARDS
  value: {{ .root.Values.shards | quote }}
- name: FLASHSALE_INSTALLATION
  value: {{ include "flashsale.installation" .root }}
{{- if ne .component "keeper" }}
- name: FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS
  value: "20"
{{- end }}
{{- with .root.Values.listenHost }}
{{- range eq $.component "gateway" | ternary (list "FLASHSALE_HOST") (has $.component (list "ledger-api" "console" "storefront") | ternary (list "FLASHSALE_HOST" "FLASHSALE_PROBE_HOST") (list "FLASHSALE_PROBE_HOST")) }}
- name: {{ . }}
  value: {{ $.root.Values.listenHost | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- include "flashsale.tls.env" .root }}
{{- end -}}

{{/*
The whole environment of a service, each variable once: what the chart sets, written over by `settings`, and this by `extraEnv`.
(dict "root" $ "component" "gateway" "c" .Values.gateway)
*/}}
{{- define "flashsale.env" -}}
{{- $all := fromYamlArray (printf "%s\n%s" (include (printf "flashsale.env.%s" .component) .root | trim) (include "flashsale.env.common" . | trim)) -}}
{{- range $name, $value := .c.settings }}
{{- $all = append $all (dict "name" $name "value" (include "flashsale.text" $value)) }}
{{- end -}}
{{- include "flashsale.envOnce" (dict "env" (toYaml $all) "c" .c) -}}
{{- end -}}

{{/* What a service gets as the variable `name`; empty if that is not set here or comes from another object. */}}
{{- define "flashsale.envValue" -}}
{{- $name := .name -}}
{{- range include "flashsale.env" . | fromYamlArray }}{{ if eq .name $name }}{{ .value }}{{ end }}{{ end -}}
{{- end -}}

{{/* Further keys of administrators, if the Secret has them. */}}
{{- define "flashsale.env.adminKeys" -}}
- name: FLASHSALE_ADMIN_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ include "flashsale.secret.credentials" . }}
      key: admin-keys
      optional: true
{{- end -}}

{{- /* The values `identity`. An upgrade that reuses the values of an earlier release has none. */ -}}
{{- define "flashsale.identity" -}}
{{- $defaults := dict "modes" (list "service") "token" (dict "seconds" 3600) "jwt" dict "header" dict -}}
{{- merge (deepCopy (.Values.identity | default dict)) $defaults | toYaml -}}
{{- end -}}

{{- /* Who proves who a buyer is, and by which keys. */ -}}
{{- define "flashsale.env.identity" -}}
{{- $identity := include "flashsale.identity" . | fromYaml -}}
{{- $modes := $identity.modes -}}
- name: FLASHSALE_IDENTITY
  value: {{ join "," $modes | quote }}
{{- include "flashsale.env.proofs" . }}
{{- if has "token" $modes }}
- name: FLASHSALE_BUYER_TOKEN_SECONDS
  value: {{ $identity.token.seconds | quote }}
{{- end }}
{{- if has "jwt" $modes }}
- name: FLASHSALE_JWT_ISSUER
  value: {{ $identity.jwt.issuer | quote }}
- name: FLASHSALE_JWT_AUDIENCE
  value: {{ $identity.jwt.audience | quote }}
- name: FLASHSALE_JWT_USER_CLAIM
  value: {{ $identity.jwt.userClaim | quote }}
- name: FLASHSALE_JWT_LEEWAY_SECONDS
  value: {{ $identity.jwt.leewaySeconds | quote }}
{{- with $identity.jwt.jwksUrl }}
- name: FLASHSALE_JWT_JWKS_URL
  value: {{ . | quote }}
{{- end }}
{{- if $identity.jwt.jwksConfigMap }}
- name: FLASHSALE_JWT_JWKS_FILE
  value: /etc/flashsale/jwks/jwks.json
{{- end }}
{{- if $identity.jwt.sharedSecret }}
{{ include "flashsale.env.credential" (dict "root" . "name" "FLASHSALE_JWT_SECRET" "key" "jwt-secret") }}
{{- end }}
{{- end }}
{{- if has "header" $modes }}
- name: FLASHSALE_IDENTITY_HEADER
  value: {{ $identity.header.name | quote }}
- name: FLASHSALE_IDENTITY_HEADER_FROM
  value: {{ join "," $identity.header.from | quote }}
{{- end }}
{{- end -}}

{{- /* The keys by which a request of our own proves itself. */ -}}
{{- define "flashsale.env.proofs" -}}
{{- $modes := (include "flashsale.identity" . | fromYaml).modes -}}
{{- range $mode, $variable := dict "service" (list "FLASHSALE_SERVICE_KEYS" "service-keys") "token" (list "FLASHSALE_BUYER_TOKEN_KEY" "buyer-token-key") }}
{{- if has $mode $modes }}
- name: {{ index $variable 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "flashsale.secret.identity" $ }}
      key: {{ index $variable 1 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Behind a pooler in transaction mode, prepared statements must be off. */}}
{{- define "flashsale.env.statementCache" -}}
{{- if not .Values.postgresql.enabled }}
- name: FLASHSALE_DATABASE_STATEMENT_CACHE
  value: {{ .Values.externalPostgresql.statementCache | quote }}
{{- end }}
{{- end -}}

{{/* The environment of a service, by component. */}}
{{- define "flashsale.env.gateway" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "gateway" "urlKey" "gateway") }}
{{ include "flashsale.env.amqp" (dict "root" . "user" "gateway" "urlKey" "gateway") }}
{{ include "flashsale.env.credential" (dict "root" . "name" "FLASHSALE_ORDER_ID_KEY" "key" "order-id-key") }}
{{ include "flashsale.env.credential" (dict "root" . "name" "FLASHSALE_ADMIN_TOKEN" "key" "admin-token") }}
{{ include "flashsale.env.adminKeys" . }}
{{ include "flashsale.env.identity" . }}
{{ include "flashsale.env.credential" (dict "root" . "name" "FLASHSALE_WEBHOOK_SECRET" "key" "webhook-secret") }}
{{ include "flashsale.env.windows" . }}
- name: FLASHSALE_PORT
  value: "8000"
{{- if include "flashsale.adminPort" . }}
- name: FLASHSALE_ADMIN_PORT
  value: "8001"
{{- end }}
{{- with .Values.gateway.corsOrigins }}
- name: FLASHSALE_CORS_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- end -}}
{{- define "flashsale.env.order-worker" -}}
{{ include "flashsale.env.amqp" (dict "root" . "user" "order-worker" "urlKey" "orderWorker") }}
{{ include "flashsale.env.database" (dict "root" . "urlKey" "orderWorker" "role" "writer") }}
{{- include "flashsale.env.statementCache" . }}
- name: FLASHSALE_PROBE_PORT
  value: "9101"
{{- end -}}
{{- define "flashsale.env.timeout-worker" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "timeout-worker" "urlKey" "timeoutWorker") }}
{{ include "flashsale.env.amqp" (dict "root" . "user" "timeout-worker" "urlKey" "timeoutWorker") }}
{{ include "flashsale.env.windows" . }}
- name: FLASHSALE_PROBE_PORT
  value: "9102"
{{- end -}}
{{- define "flashsale.env.recovery" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "keeper" "urlKey" "keeper") }}
{{ include "flashsale.env.amqp" (dict "root" . "user" "keeper" "urlKey" "keeper") }}
{{ include "flashsale.env.database" (dict "root" . "urlKey" "keeper" "role" "keeper") }}
{{- end -}}
{{- define "flashsale.env.keeper" -}}
{{ include "flashsale.env.recovery" . }}
{{- with include "flashsale.envValue" (dict "root" . "component" "gateway" "c" .Values.gateway "name" "FLASHSALE_CONFIRM_TIMEOUT_SECONDS") }}
- name: FLASHSALE_CONFIRM_TIMEOUT_SECONDS
  value: {{ . | quote }}
{{- end }}
- name: FLASHSALE_RESEAL
  value: {{ .Values.keeper.reseal }}
- name: FLASHSALE_PROBE_PORT
  value: "9104"
{{- end -}}
{{- define "flashsale.env.notifier" -}}
{{ include "flashsale.env.amqp" (dict "root" . "user" "notifier" "urlKey" "notifier" "secret" (include "flashsale.secret.ofService" (dict "root" . "server" "rabbitmq" "service" "notifier"))) }}
{{ include "flashsale.env.database" (dict "root" . "urlKey" "notifier" "role" "notifier" "secret" (include "flashsale.secret.ofService" (dict "root" . "server" "postgresql" "service" "notifier")) "key" "notifier") }}
{{- include "flashsale.env.statementCache" . }}
{{- $endpoints := list }}
{{- range .Values.notifier.endpoints }}
{{- $endpoints = append $endpoints (omit . "secret") }}
- name: FLASHSALE_NOTIFIER_SECRET_{{ .name | upper | replace "-" "_" }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret.name }}
      key: {{ .secret.key }}
{{- end }}
- name: FLASHSALE_NOTIFIER_ENDPOINTS
  value: {{ toJson $endpoints | quote }}
- name: FLASHSALE_NOTIFIER_ALLOWED_NETWORKS
  value: {{ join "," .Values.notifier.allowedNetworks | quote }}
- name: FLASHSALE_NOTIFIER_RESERVED
  value: {{ .Values.notifier.reserved | quote }}
- name: FLASHSALE_PROBE_PORT
  value: "9106"
{{- end -}}
{{- define "flashsale.env.ledger-api" -}}
{{ include "flashsale.env.database" (dict "root" . "urlKey" "ledgerApi" "role" "ledger_api" "secret" (include "flashsale.secret.ledgerApi" .) "key" "ledger-api") }}
{{- include "flashsale.env.statementCache" . }}
{{ include "flashsale.env.credential" (dict "root" . "name" "FLASHSALE_ADMIN_TOKEN" "key" "admin-token") }}
{{ include "flashsale.env.adminKeys" . }}
- name: FLASHSALE_LEDGER_API_PORT
  value: "8002"
- name: FLASHSALE_PROBE_PORT
  value: "9105"
{{- end -}}
{{- /* It reads Redis as the audit does: that user may only read, and a further one would restart the bundled Redis. */ -}}
{{- define "flashsale.env.console" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "audit" "urlKey" "console") }}
{{ include "flashsale.env.database" (dict "root" . "urlKey" "console" "role" "console" "secret" (include "flashsale.secret.ofService" (dict "root" . "server" "postgresql" "service" "console")) "key" "console") }}
{{- include "flashsale.env.statementCache" . }}
{{- range $name, $key := dict "FLASHSALE_CONSOLE_ADMIN_KEY" "admin-key" "FLASHSALE_CONSOLE_SESSION_KEY" "session-key" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.console.existingSecret }}
      key: {{ $key }}
{{- end }}
- name: FLASHSALE_CONSOLE_USERS_FILE
  value: /users/users
- name: FLASHSALE_CONSOLE_ORIGINS
  value: {{ join "," .Values.console.origins | quote }}
- name: FLASHSALE_ADMIN_URL
  value: http://{{ include "flashsale.fullname" . }}-gateway{{ if include "flashsale.adminPort" . }}-admin:{{ .Values.gateway.admin.port }}{{ else }}:{{ .Values.gateway.service.port }}{{ end }}
- name: FLASHSALE_LEDGER_API_URL
  value: http://{{ include "flashsale.fullname" . }}-ledger-api:{{ .Values.ledgerApi.service.port }}
- name: FLASHSALE_CONSOLE_METRICS_URLS
  value: {{ range $at, $probe := include "flashsale.console.probed" . | splitList " " }}{{ if $at }},{{ end }}http://{{ include "flashsale.fullname" $ }}-{{ $probe | splitList ":" | first }}-probes:{{ $probe | splitList ":" | last }}/metrics{{ end }}
- name: FLASHSALE_CONSOLE_PORT
  value: "8004"
- name: FLASHSALE_PROBE_PORT
  value: "9108"
{{- end -}}
{{- define "flashsale.env.storefront" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "storefront" "urlKey" "storefront" "secret" (include "flashsale.secret.ofService" (dict "root" . "server" "redis" "service" "storefront"))) }}
{{- $c := .Values.storefront }}
- name: FLASHSALE_IDENTITY
  value: {{ join "," (include "flashsale.identity" . | fromYaml).modes | quote }}
- name: FLASHSALE_STOREFRONT_SHOP_NAME
  value: {{ $c.shopName | quote }}
{{- range $name, $value := dict "SIGN_IN_URL" $c.signInUrl "PAY_URL" $c.payUrl "API_URL" $c.apiUrl "TRUSTED_PROXIES" (join "," $c.trustedProxies) }}
{{- with $value }}
- name: FLASHSALE_STOREFRONT_{{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: FLASHSALE_STOREFRONT_STREAMS_MAX
  value: {{ $c.streams.max | quote }}
- name: FLASHSALE_STOREFRONT_STREAMS_PER_ADDRESS_MAX
  value: {{ $c.streams.maxPerAddress | quote }}
- name: FLASHSALE_STOREFRONT_PORT
  value: "8003"
- name: FLASHSALE_PROBE_PORT
  value: "9107"
{{- end -}}
{{- /* The services whose metrics the console reads, with their ports. */ -}}
{{- define "flashsale.console.probed" -}}
keeper:9104 order-worker:9101 timeout-worker:9102
{{- end -}}
{{/* The namespaces that a release serves: its own first. Empty for all of them. */}}
{{- define "flashsale.namespaces" -}}
{{- if not .Values.operator.watchAllNamespaces }}{{ prepend (.Values.operator.watchNamespaces | default list) .Release.Namespace | uniq | join "," }}{{ end -}}
{{- end -}}
{{/* What of its operator's environment decides which FlashSales a release serves. `helm upgrade --reuse-values` brings values without an engine. */}}
{{- define "flashsale.env.engine" -}}
{{- $engine := .Values.operator.engine | default (dict "name" "flashsale" "default" true) -}}
- name: FLASHSALE_OPERATOR_NAMESPACE
  value: {{ include "flashsale.namespaces" . | quote }}
- name: FLASHSALE_OPERATOR_ENGINE
  value: {{ $engine.name | quote }}
- name: FLASHSALE_OPERATOR_ENGINE_DEFAULT
  value: {{ $engine.default | quote }}
{{- end -}}
{{- define "flashsale.env.operator" -}}
{{ include "flashsale.env.redis" (dict "root" . "user" "operator" "urlKey" "operator") }}
{{ include "flashsale.env.windows" . }}
{{ include "flashsale.env.engine" . }}
{{- /* As in the gateways: FlashSales would say that the sale takes no orders, and the gateways would take them. */}}
{{- with include "flashsale.envValue" (dict "root" . "component" "gateway" "c" .Values.gateway "name" "FLASHSALE_REQUIRE_DURABLE_REDIS") }}
- name: FLASHSALE_REQUIRE_DURABLE_REDIS
  value: {{ . | quote }}
{{- end }}
- name: FLASHSALE_OPERATOR_DELETE_WITHOUT_REDIS_SECONDS
  value: {{ .Values.operator.deleteWithoutRedisSeconds | quote }}
{{- with include "flashsale.storefront.origin" . }}
- name: FLASHSALE_STOREFRONT_URL
  value: {{ . | quote }}
{{- end }}
- name: FLASHSALE_PROBE_PORT
  value: "9103"
{{- end -}}

{{/* The number of pods that a component always has. (dict "root" $ "c" .Values.keeper) */}}
{{- define "flashsale.replicas" -}}
{{- if (.c.autoscaling).enabled }}{{ .c.autoscaling.minReplicas }}
{{- else if (.c.keda).enabled }}{{ .c.keda.minReplicas }}
{{- else if kindIs "invalid" .c.replicas }}{{ include "flashsale.redis.failover" .root | eq "yes" | ternary 2 1 }}
{{- else }}{{ .c.replicas }}{{ end -}}
{{- end -}}

{{/* Seconds that a pod needs to end well: the sleep before it stops, the service's own time to finish, and five more, or what a gateway has to leave. */}}
{{- define "flashsale.neededSeconds" -}}
{{- $shutdown := 20 -}}{{- $leave := 5 -}}
{{- range include "flashsale.env" . | fromYamlArray }}
{{- if eq .name "FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS" }}{{ $shutdown = .value | default 20 | float64 | ceil | int }}{{ end }}
{{- if eq .name "FLASHSALE_LEAVE_TIMEOUT_SECONDS" }}{{ $leave = .value | default 5 | float64 | ceil | int }}{{ end }}
{{- end -}}
{{- add $shutdown (max 5 $leave) (has .component (list "operator" "keeper") | ternary 0 .root.Values.preStopSleepSeconds) -}}
{{- end -}}
{{- define "flashsale.graceSeconds" -}}
{{- .root.Values.terminationGracePeriodSeconds | default (max (eq .component "operator" | ternary 30 45) (include "flashsale.neededSeconds" .)) -}}
{{- end -}}

{{/* A Deployment of one of our services. (dict "root" $ "component" "gateway" "c" .Values.gateway "port" 8000) */}}
{{- define "flashsale.deployment" -}}
{{- $fullname := include "flashsale.fullname" .root -}}
{{- $admin := and (eq .component "gateway") (include "flashsale.adminPort" .root | eq "yes") -}}
{{- $probed := $admin | ternary "admin" "http" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "flashsale.labels" . | nindent 4 }}
spec:
  {{- if eq .component "operator" }}
  replicas: 1
  strategy:
    type: Recreate
  {{- else }}
  {{- if not (or (.c.autoscaling).enabled (.c.keda).enabled) }}
  replicas: {{ .c.replicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "flashsale.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "flashsale.labels" (merge (dict "extra" .c.podLabels) .) | nindent 8 }}
      annotations:
        {{- include "flashsale.merged" (list (dict "kubectl.kubernetes.io/default-container" .component) .c.podAnnotations) | nindent 8 }}
    spec:
      {{- include "flashsale.pullSecrets" .root | nindent 6 }}
      {{- if eq .component "operator" }}
      serviceAccountName: {{ $fullname }}-operator
      automountServiceAccountToken: true
      {{- else }}
      serviceAccountName: {{ $fullname }}
      automountServiceAccountToken: false
      {{- end }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "flashsale.graceSeconds" . }}
      securityContext:
        {{- include "flashsale.podSecurity" .c | nindent 8 }}
      {{- include "flashsale.scheduling" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "flashsale.image" (dict "root" .root "image" .c.image "own" true) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          securityContext:
            {{- include "flashsale.containerSecurity" . | nindent 12 }}
          env:
            {{- include "flashsale.env" . | nindent 12 }}
          ports:
            - name: http
              containerPort: {{ .port }}
            {{- if $admin }}
            - name: admin
              containerPort: 8001
            {{- else if eq .component "ledger-api" }}
            - name: api
              containerPort: 8002
            {{- else if has .component (list "console" "storefront") }}
            - name: pages
              containerPort: {{ eq .component "console" | ternary 8004 8003 }}
            {{- end }}
          {{- /* The admin port has connections of its own: a gateway whose buyers took all of theirs must not be restarted. */}}
          startupProbe:
            httpGet: {path: /healthz, port: {{ $probed }}}
            periodSeconds: 1
            timeoutSeconds: 3
            failureThreshold: 60
          readinessProbe:
            httpGet: {path: /readyz, port: {{ $probed }}}
            periodSeconds: 2
            timeoutSeconds: 4
            failureThreshold: 2
          livenessProbe:
            httpGet: {path: /healthz, port: {{ $probed }}}
            periodSeconds: 10
            timeoutSeconds: 4
            failureThreshold: 3
          {{- if not (has .component (list "operator" "keeper")) }}
          lifecycle:
            preStop:
              {{- /* Endpoints drop a pod a moment after it is told to stop. Until then it goes on serving. */}}
              exec: {command: [python, -c, "import time; time.sleep({{ .root.Values.preStopSleepSeconds }})"]}
          {{- end }}
          resources:
            {{- toYaml .c.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- include "flashsale.moreMounts" . | nindent 12 }}
        {{- with .c.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- include "flashsale.moreVolumes" . | nindent 8 }}
{{- end -}}

{{- define "flashsale.pdb" -}}
{{- if and (.c.podDisruptionBudget).enabled (or (gt (int .c.replicas) 1) (.c.autoscaling).enabled (.c.keda).enabled) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "flashsale.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "flashsale.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "flashsale.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* A job of the flashsale command: its pod. (dict "root" $ "component" "migrate" "args" list "env" "...") */}}
{{- define "flashsale.cliPod" -}}
{{- include "flashsale.pullSecrets" .root }}
serviceAccountName: {{ .serviceAccount | default (include "flashsale.fullname" .root) }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "flashsale.jobPlacement" .root }}
securityContext:
  {{- include "flashsale.podSecurity" .root.Values.cli | nindent 2 }}
containers:
  - name: {{ .component }}
    image: {{ include "flashsale.image" (dict "root" .root "image" .root.Values.cli.image "own" true) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    securityContext:
      {{- include "flashsale.containerSecurity" . | nindent 6 }}
    env:
      {{- include "flashsale.jobEnv" . | nindent 6 }}
    resources:
      {{- toYaml .root.Values.cli.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- include "flashsale.moreMounts" (dict "root" .root "c" .root.Values.cli) | nindent 6 }}
  {{- with .root.Values.cli.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- include "flashsale.moreVolumes" (dict "root" .root "c" .root.Values.cli) | nindent 2 }}
{{- end -}}
