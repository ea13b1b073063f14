{{/* Certificates: the Secrets that the values name, and where their files are in every pod. Whole folders are mounted: a file mounted by subPath would never be renewed. */}}

{{- define "flashsale.tls.caSecret" -}}
{{- (.Values.tls).caSecret -}}
{{- end -}}
{{- define "flashsale.tls.clientSecret" -}}
{{- (.Values.tls).clientCertSecret -}}
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
