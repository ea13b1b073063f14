{{/* Certificates: the Secrets that the values name, and where their files are in every pod. Whole folders are mounted: a file mounted by subPath would never be renewed. */}}

{{- define "flashsale.tls.caSecret" -}}
{{- (.Values.tls).caSecret | default (include "flashsale.tls.issued" (dict "root" . "name" "client")) -}}
{{- end -}}
{{- define "flashsale.tls.clientSecret" -}}
{{- (.Values.tls).clientCertSecret | default (include "flashsale.tls.issued" (dict "root" . "name" "client")) -}}
{{- end -}}

{{/* The Secret of a server's certificate; empty without TLS. (dict "root" $ "server" "redis") */}}
{{- define "flashsale.tls.serverSecret" -}}
{{- $c := get .root.Values .server -}}
{{- if and $c.enabled ($c.tls).enabled -}}
{{- $c.tls.existingSecret | default (include "flashsale.tls.issued" (dict "root" .root "name" .server)) -}}
{{- end -}}
{{- end -}}

{{/* The Secret that cert-manager writes for a Certificate of this chart. (dict "root" $ "name" "redis") */}}
{{- define "flashsale.tls.issued" -}}
{{- if ((.root.Values.tls).certManager).enabled }}{{ include "flashsale.fullname" .root }}-{{ .name }}-tls{{ end -}}
{{- end -}}

{{/* Whether the bundled servers with TLS accept only clients with a certificate. */}}
{{- define "flashsale.tls.verifiesClients" -}}
{{- if (.Values.tls).verifyClients }}yes{{ end -}}
{{- end -}}

{{- define "flashsale.tls.env" -}}
{{- if include "flashsale.tls.caSecret" . }}
- name: FLASHSALE_TLS_CA_FILE
  value: /tls/ca/ca.crt
{{- end }}
{{- if include "flashsale.tls.clientSecret" . }}
- name: FLASHSALE_TLS_CERT_FILE
  value: /tls/client/tls.crt
- name: FLASHSALE_TLS_KEY_FILE
  value: /tls/client/tls.key
{{- end }}
{{- end -}}

{{- define "flashsale.tls.mounts" -}}
{{- if include "flashsale.tls.caSecret" . }}
- {name: tls-ca, mountPath: /tls/ca, readOnly: true}
{{- end }}
{{- if include "flashsale.tls.clientSecret" . }}
- {name: tls-client, mountPath: /tls/client, readOnly: true}
{{- end }}
{{- end -}}

{{- define "flashsale.tls.volumes" -}}
{{- with include "flashsale.tls.caSecret" . }}
- name: tls-ca
  secret:
    secretName: {{ . }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- with include "flashsale.tls.clientSecret" . }}
- name: tls-client
  secret:
    secretName: {{ . }}
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- end -}}

{{/* Options of Redis and of its Sentinels. Both are also clients, of each other. (dict "root" $ "port" 6379) */}}
{{- define "flashsale.tls.redisOptions" -}}
{{- if include "flashsale.tls.serverSecret" (dict "root" .root "server" "redis") -}}
port 0
tls-port {{ .port }}
{{ include "flashsale.tls.redisFiles" .root }}
tls-auth-clients {{ include "flashsale.tls.verifiesClients" .root | default "no" }}
{{- if include "flashsale.redis.failover" .root }}
tls-replication yes
{{- end }}
{{- else -}}
port {{ .port }}
{{- end -}}
{{- end -}}

{{/* Where Redis finds its certificates, one option a line. */}}
{{- define "flashsale.tls.redisFiles" -}}
tls-cert-file /tls/server/tls.crt
tls-key-file /tls/server/tls.key
tls-ca-cert-file /tls/ca/ca.crt
{{- if include "flashsale.tls.verifiesClients" . }}
tls-client-cert-file /tls/client/tls.crt
tls-client-key-file /tls/client/tls.key
{{- end }}
{{- end -}}

{{/* A shell function for the pods of Redis: it prints a sum of these files, by which a renewal is noticed. */}}
{{- define "flashsale.tls.redisSum" -}}
certificates() { cat /tls/server/* /tls/ca/*{{ if include "flashsale.tls.verifiesClients" . }} /tls/client/*{{ end }} | sha256sum; }
{{- end -}}

{{/* valkey-cli with the options that reach this server. */}}
{{- define "flashsale.tls.valkeyCli" -}}
valkey-cli{{ if include "flashsale.tls.serverSecret" (dict "root" . "server" "redis") }} --tls --cacert /tls/ca/ca.crt{{ if include "flashsale.tls.verifiesClients" . }} --cert /tls/client/tls.crt --key /tls/client/tls.key{{ end }}{{ end }}
{{- end -}}

{{- define "flashsale.rabbitmq.port" -}}
{{ include "flashsale.tls.serverSecret" (dict "root" . "server" "rabbitmq") | empty | ternary 5672 5671 }}
{{- end -}}

{{/* The path of a vhost in a URL. Its name is one that needs no escape; / is the broker's default. */}}
{{- define "flashsale.rabbitmq.vhostPath" -}}
/{{ if ne . "/" }}{{ . }}{{ end }}
{{- end -}}
