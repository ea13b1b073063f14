{{/* What values may add to any pod, and what every pod gets of the values `tls`. Servers, services and Jobs use these templates alike. */}}

{{/*
Each variable once. The later entry wins and keeps its place, because Kubernetes expands $(NAME) only from variables above.
(dict "env" "- name: ..." "c" .Values.cli)
*/}}
{{- define "flashsale.envOnce" -}}
{{- $all := concat (fromYamlArray .env) (.c.extraEnv | default list) -}}
{{- $last := dict -}}
{{- range $place, $entry := $all }}{{ $_ := set $last $entry.name $place }}{{ end -}}
{{- $env := list -}}
{{- range $place, $entry := $all }}{{ if eq $place (get $last $entry.name) }}{{ $env = append $env $entry }}{{ end }}{{ end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* The ConfigMap with the keys of an identity provider; empty unless this is the gateway and it reads them there. */}}
{{- define "flashsale.jwksConfigMap" -}}
{{- $identity := include "flashsale.identity" .root | fromYaml -}}
{{- if and (eq (.component | default "") "gateway") (has "jwt" $identity.modes) }}{{ $identity.jwt.jwksConfigMap }}{{ end -}}
{{- end -}}

{{/* (dict "root" $ "c" .Values.gateway), with "server" "redis" for a bundled server */}}
{{- define "flashsale.moreMounts" -}}
{{- include "flashsale.tls.mounts" .root }}
{{- if and .server (include "flashsale.tls.serverSecret" .) }}
- {name: tls-server, mountPath: /tls/server, readOnly: true}
{{- end }}
{{- if include "flashsale.jwksConfigMap" . }}
- {name: jwks, mountPath: /etc/flashsale/jwks, readOnly: true}
{{- end }}
{{- with .c.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flashsale.moreVolumes" -}}
{{- include "flashsale.tls.volumes" .root }}
{{- if .server }}
{{- with include "flashsale.tls.serverSecret" . }}
- name: tls-server
  secret:
    secretName: {{ . }}
    {{- /* 0640: Postgres refuses a key that everybody in the pod may read. The pod's fsGroup may. */}}
    defaultMode: 416
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- end }}
{{- with include "flashsale.jwksConfigMap" . }}
- name: jwks
  configMap: {name: {{ . }}}
{{- end }}
{{- with .c.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The environment of a pod of Jobs, hooks and tests. (dict "root" $ "env" "- name: ...") */}}
{{- define "flashsale.jobEnv" -}}
{{- include "flashsale.envOnce" (dict "env" (printf "%s\n%s" (trim .env) (include "flashsale.tls.env" .root | trim)) "c" .root.Values.cli) -}}
{{- end -}}

{{/* Labels and annotations of the pods of Jobs, hooks and tests. (dict "root" $ "component" "migrate" "annotations" dict) */}}
{{- define "flashsale.jobMetadata" -}}
{{- $cli := .root.Values.cli -}}
labels:
  {{- include "flashsale.labels" (merge (dict "extra" $cli.podLabels) .) | nindent 2 }}
{{- with include "flashsale.merged" (list $cli.podAnnotations .annotations) | fromYaml }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
