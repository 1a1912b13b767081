{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
{{- end }}

{{- /* Not the agent's name, by which commands find agents. */ -}}
{{- define "fairlead.testLabels" -}}
app.kubernetes.io/name: fairlead-helm-test
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "fairlead.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "fairlead.image" -}}
{{- with .Values.image -}}
{{ required "image.repository is needed: push the image that `make image` builds to a registry of yours and name it here, or set localhost/fairlead for an image that you imported into each node" .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The values of the preset, with what the user set instead. */ -}}
{{- define "fairlead.platform" -}}
{{- $p := .Files.Get (printf "presets/%s.yaml" .Values.preset) | fromYaml -}}
{{- $v := .Values -}}
{{- $configMap := ternary $p.kubeProxyConfigMap $v.kubeProxyConfigMap (eq $v.kubeProxyConfigMap "auto") -}}
{{- dict
  "kubeProxyConfigMap" $configMap
  "host" ($v.apiServer.host | default $p.apiServer.host)
  "port" ($v.apiServer.port | default $p.apiServer.port)
  "confDir" ($v.cni.confDir | default $p.cni.confDir)
  "binDir" ($v.cni.binDir | default $p.cni.binDir)
  | toYaml -}}
{{- end }}

{{- define "fairlead.ownConfigMap" -}}
{{- $p := include "fairlead.platform" . | fromYaml -}}
{{- if or .Values.network (not $p.kubeProxyConfigMap) (eq .Values.seccomp.type "Localhost") }}true{{ end -}}
{{- end }}

{{- define "fairlead.patchesNodes" -}}
{{- if and .Values.network (or .Values.setNodeNetworkAvailable .Values.flannelCompat .Values.announceUnderlay) }}true{{ end -}}
{{- end }}

{{- define "fairlead.resources" -}}
{{- $sizes := dict
  "small" (dict "requests" (dict "cpu" "50m" "memory" "64Mi") "limits" (dict "memory" "256Mi"))
  "medium" (dict "requests" (dict "cpu" "100m" "memory" "64Mi") "limits" (dict "memory" "512Mi"))
  "large" (dict "requests" (dict "cpu" "250m" "memory" "128Mi") "limits" (dict "memory" "512Mi"))
  "xlarge" (dict "requests" (dict "cpu" "500m" "memory" "128Mi") "limits" (dict "memory" "768Mi")) -}}
{{- .Values.resources | default (get $sizes .Values.size) | toYaml -}}
{{- end }}

{{- define "fairlead.seccompFile" -}}
fairlead-{{ .Files.Get "files/seccomp.json" | sha256sum | trunc 12 }}.json
{{- end }}

{{- define "fairlead.metricsPort" -}}
{{ ternary "https-metrics" "metrics" (eq .Values.metrics.listen "secure") }}
{{- end }}

{{- define "fairlead.tlsSecret" -}}
{{- if eq .Values.metrics.listen "secure" }}{{ .Values.metrics.tlsSecret }}{{ end }}
{{- end }}

{{- /* How Prometheus reaches a port with TLS, as part of an endpoint of a monitor. */ -}}
{{- define "fairlead.scrape" -}}
{{- $m := .Values.metrics -}}
port: {{ include "fairlead.metricsPort" . }}
{{- if eq $m.listen "secure" }}
scheme: https
tlsConfig:
  {{- if $m.ca.secret }}
  ca:
    secret: {name: {{ $m.ca.secret }}, key: {{ $m.ca.key }}}
  {{- with $m.ca.serverName }}
  serverName: {{ . }}
  {{- end }}
  {{- else }}
  insecureSkipVerify: true
  {{- end }}
{{- if $m.tokenSecret.name }}
authorization:
  credentials: {name: {{ $m.tokenSecret.name }}, key: {{ $m.tokenSecret.key }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the values may not say together, with a sentence for each. */ -}}
{{- define "fairlead.check" -}}
{{- $m := .Values.metrics -}}
{{- if and (or $m.podMonitor.enabled $m.serviceMonitor.enabled) (eq $m.listen "config") -}}
{{- fail "metrics.podMonitor and metrics.serviceMonitor need metrics.listen=secure or node: nobody outside of the node reaches 127.0.0.1" -}}
{{- end -}}
{{- if and $m.podMonitor.enabled $m.serviceMonitor.enabled -}}
{{- fail "metrics.podMonitor and metrics.serviceMonitor would scrape each agent twice: enable one of them" -}}
{{- end -}}
{{- if and $m.podMonitor.enabled (eq $m.listen "secure") (not $m.tokenSecret.name) -}}
{{- fail "metrics.podMonitor with metrics.listen=secure needs metrics.tokenSecret: a PodMonitor cannot name the token of Prometheus's own service account; metrics.serviceMonitor can" -}}
{{- end -}}
{{- if and $m.networkPolicy.enabled (not $m.networkPolicy.from) -}}
{{- fail "metrics.networkPolicy.from is needed: a list of peers that may scrape, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}
{{- end -}}
{{- if and .Values.network (not (dig "Backend" "Type" "" .Values.network)) -}}
{{- fail "network.Backend.Type is needed, vxlan for example: without it flannel means udp, which connects no pods of different nodes here" -}}
{{- end -}}
{{- if and .Values.flannelCompat (not .Values.network) -}}
{{- fail "flannelCompat needs network: it shares flannel's VXLAN, which the agent does not make without it" -}}
{{- end -}}
{{- if and .Values.announceUnderlay (not .Values.network) -}}
{{- fail "announceUnderlay needs network: it announces addresses of the overlay, which the agent does not make without it" -}}
{{- end -}}
{{- if and .Values.namespace.create (hasPrefix "kube-" .Release.Namespace) -}}
{{- fail (printf "namespace.create: Kubernetes makes the namespace %s itself" .Release.Namespace) -}}
{{- end -}}
{{- end }}
