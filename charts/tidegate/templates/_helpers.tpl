{{- define "tidegate.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.serviceAccountName" -}}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "tidegate.signingSecret" -}}
{{- default (printf "%s-signing-key" (include "tidegate.fullname" .)) .Values.signingKey.secretName -}}
{{- end -}}

{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* An image's reference; takes (list . "operator"). */}}
{{- define "tidegate.image" -}}
{{- $root := index . 0 -}}
{{- $own := index $root.Values.image (index . 1) -}}
{{- $tag := coalesce $own.tag $root.Values.image.tag $root.Chart.AppVersion -}}
{{- printf "%s/%s:%s" (trimSuffix "/" $root.Values.image.registry) $own.repository $tag -}}
{{- end -}}

{{- define "tidegate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tidegate.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the operator may do where it works: exact verbs, no Secrets, no pods/exec. */}}
{{- define "tidegate.rules" -}}
- apiGroups: [tidegate.dev]
  resources: [models, trainingjobs, driftpolicies]
  verbs: [get, list, watch]
- apiGroups: [tidegate.dev]
  resources: [models/status, trainingjobs/status, driftpolicies/status]
  verbs: [patch]
- apiGroups: [tidegate.dev]
  resources: [trainingjobs]
  verbs: [create]
# Owner references with blockOwnerDeletion need this where the cluster enforces it.
- apiGroups: [tidegate.dev]
  resources: [models/finalizers, trainingjobs/finalizers, driftpolicies/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* Not empty if Prometheus is asked with a token, or checked by certificates of its own. */}}
{{- define "tidegate.asksWithSecrets" -}}
{{- with .Values.prometheus }}
{{- if and .url (or .tokenSecret.name .caSecret.name) }}true{{ end }}
{{- end }}
{{- end }}
