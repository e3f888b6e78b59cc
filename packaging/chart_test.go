//go:build packages

package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const chart = "../charts/gatehouse"

// kinds are what the chart may make, each as its own type has it.
var kinds = map[string]func() any{
	"v1 ConfigMap": func() any { return new(core.ConfigMap) }, "v1 Service": func() any { return new(core.Service) },
	"apps/v1 StatefulSet":                    func() any { return new(apps.StatefulSet) },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return new(networking.NetworkPolicy) },
	"networking.k8s.io/v1 Ingress":           func() any { return new(networking.Ingress) },
	"gateway.networking.k8s.io/v1 HTTPRoute": func() any { return new(gateway.HTTPRoute) },
}

// template renders the chart with what values say, and decodes each document
// strictly: a word that its type does not know is an error.
func template(t *testing.T, values string) (map[string]any, error) {
	t.Helper()
	loaded, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	own, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(loaded, own, chartutil.ReleaseOptions{Name: "sign-in", Namespace: "gatehouse", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	made := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if !strings.HasSuffix(name, ".yaml") || strings.TrimSpace(text) == "" {
			continue
		}
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		known := kinds[kind.APIVersion+" "+kind.Kind]
		if known == nil {
			t.Fatalf("%s is a %s of %s, which this test does not know", name, kind.Kind, kind.APIVersion)
		}
		object := known()
		if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		made[kind.Kind] = object
	}
	return made, nil
}

// TestChart: Helm's linter finds nothing; whatever is turned on, every document
// is what Kubernetes knows; the Caddyfile in it is valid.
func TestChart(t *testing.T) {
	for _, m := range lint.All(chart, nil, "gatehouse", true).Messages {
		if m.Severity > support.InfoSev {
			t.Error(m)
		}
	}
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	gatehouse, err := filepath.Abs(filepath.Join(all["v0.1.0"].out, "binaries", here.String(), "gatehouse"))
	if err != nil {
		t.Fatal(err)
	}
	for values, more := range map[string][]string{
		"": {"NetworkPolicy"},
		"{networkPolicy: {enabled: false}, httpRoute: {enabled: true}}":                                                                                                                               {"HTTPRoute"},
		"{ingress: {enabled: true, annotations: {a: b}}, persistence: {storageClassName: fast}}":                                                                                                      {"Ingress", "NetworkPolicy"},
		"{image: {digest: 'sha256:0'}, tolerations: [{key: a, operator: Exists}], nodeSelector: {a: b}, podAnnotations: {a: b}, imagePullSecrets: [{name: a}], affinity: {nodeAffinity: {}}}":         {"NetworkPolicy"},
		"{caddyfile: \"{\\n\\tgatehouse {\\n\\t\\tmail log\\n\\t}\\n}\\nhttp://:9091 {\\n\\tgatehouse_authz {\\n\\t\\tlogin https://auth.example.com\\n\\t\\tsite a.example.com any\\n\\t}\\n}\\n\"}": {"NetworkPolicy"},
	} {
		made, err := template(t, values)
		if err != nil {
			t.Fatalf("%s: %v", values, err)
		}
		want := append([]string{"ConfigMap", "Service", "StatefulSet"}, more...)
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(made)); !slices.Equal(got, want) {
			t.Errorf("%s makes %v, want %v", values, got, want)
		}
		pod := made["StatefulSet"].(*apps.StatefulSet).Spec.Template.Spec
		c := pod.Containers[0]
		if !*pod.SecurityContext.RunAsNonRoot || *pod.AutomountServiceAccountToken || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation {
			t.Errorf("%s: the pod may do too much", values)
		}
		file := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(file, []byte(made["ConfigMap"].(*core.ConfigMap).Data["Caddyfile"]), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(gatehouse, "validate", "--offline", "--adapter", "caddyfile", "--config", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", values, err, out)
		}
	}
	for values, want := range map[string]string{
		"{sites: ''}":                 "name a site and its people",
		"{trustedProxies: []}":        "name the pods of your ingress controller",
		"{existingSecret: ''}":        "name the Secret",
		"{networkPolicy: {from: []}}": "name the pods that may ask",
	} {
		if _, err := template(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", values, err, want)
		}
	}
}
