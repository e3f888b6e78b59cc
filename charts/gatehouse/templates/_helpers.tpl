{{- define "gatehouse.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: gatehouse
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "gatehouse.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "gatehouse.caddyfile" -}}
{{- if .Values.caddyfile -}}
{{ .Values.caddyfile }}
{{- else -}}
{{- if not .Values.trustedProxies }}{{ fail "trustedProxies: name the pods of your ingress controller or gateway" }}{{ end -}}
{
    admin unix//run/gatehouse/admin.sock
    auto_https off
    grace_period 3s
    servers {
        trusted_proxies static {{ .Values.trustedProxies | join " " }}
        trusted_proxies_strict
    }
    gatehouse {
        store badger /data/gatehouse
        secret {file./run/secrets/gatehouse/secret}
{{ .Values.options | trim | indent 8 }}
    }
}

# Where people sign in.
http://{{ .Values.host }}:8080 {
    gatehouse_portal {
        origin https://{{ .Values.host }}
    }
}

# What the ingress controller or gateway asks.
http://:9091 {
    gatehouse_authz {
        login https://{{ .Values.host }}
{{ required "sites: name a site and its people, as in: site wiki.example.com *@example.com" .Values.sites | trim | indent 8 }}
    }
}
{{- end -}}
{{- end -}}
