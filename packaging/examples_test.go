//go:build packages

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	envoygateway "github.com/envoyproxy/gateway/api/v1alpha1"
	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// TestKubernetesExamples: every document but Traefik's is what its type has, to the
// word.
func TestKubernetesExamples(t *testing.T) {
	kinds["gateway.networking.k8s.io/v1 ReferenceGrant"] = func() any { return new(gateway.ReferenceGrant) }
	kinds["gateway.envoyproxy.io/v1alpha1 SecurityPolicy"] = func() any { return new(envoygateway.SecurityPolicy) }
	kinds["gateway.envoyproxy.io/v1alpha1 ClientTrafficPolicy"] = func() any { return new(envoygateway.ClientTrafficPolicy) }
	files, err := filepath.Glob("../examples/kubernetes/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	decoded := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var kind struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if strings.HasPrefix(kind.APIVersion, "traefik.io/") {
				continue
			}
			known := kinds[kind.APIVersion+" "+kind.Kind]
			if known == nil {
				t.Errorf("%s: a %s of %s, which this test does not know", file, kind.Kind, kind.APIVersion)
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(document), known()); err != nil {
				t.Errorf("%s: %s: %v", file, kind.Kind, err)
			}
			decoded++
		}
	}
	if decoded < 12 {
		t.Errorf("only %d documents", decoded)
	}
}

// TestEnvoyTakes: the example, and what doctor prints for several sites over TLS, are
// configurations of Envoy: every word is one of its API, and no value breaks its rules.
func TestEnvoyTakes(t *testing.T) {
	example, err := os.ReadFile("../examples/envoy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if listener := takes(t, string(example)); listener.GetFilterChains()[0].GetTransportSocket() != nil {
		t.Error("the example is over TLS")
	}
	if _, err := read(strings.Replace(string(example), "path_prefix:", "path_prefx:", 1)); err == nil {
		t.Error("a misspelt word passes: the test holds nothing")
	}
	printed := takes(t, doctor(t, "envoy"))
	chain := printed.GetFilterChains()[0]
	var context tls.DownstreamTlsContext
	if err := chain.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context); err != nil || len(context.GetCommonTlsContext().GetTlsCertificates()) != 1 {
		t.Errorf("no certificate: %v", err)
	}
	var m manager.HttpConnectionManager
	if err := chain.GetFilters()[0].GetTypedConfig().UnmarshalTo(&m); err != nil {
		t.Fatal(err)
	}
	hosts := m.GetRouteConfig().GetVirtualHosts()
	if len(hosts) != 2 || hosts[0].GetTypedPerFilterConfig()["envoy.filters.http.ext_authz"] == nil || fmt.Sprint(hosts[1].GetDomains()) != "[wiki.example.com wiki.example.com:443 *.apps.example.com *.apps.example.com:443]" {
		t.Errorf("%v", hosts)
	}
	if port := printed.GetAddress().GetSocketAddress().GetPortValue(); port != 443 {
		t.Errorf("it listens on %d", port)
	}
}

func read(text string) (*bootstrap.Bootstrap, error) {
	json, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, err
	}
	var b bootstrap.Bootstrap
	if err := protojson.Unmarshal(json, &b); err != nil {
		return nil, err
	}
	return &b, b.ValidateAll()
}

// doctor is what the command prints of a running server with two sites.
func doctor(t *testing.T, proxy string) string {
	t.Helper()
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	gatehouse, err := filepath.Abs(filepath.Join(all["v0.1.0"].out, "binaries", here.String(), "gatehouse"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	}
	portal, authz := port(), port()
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin unix/%[1]s/admin.sock\n\tgatehouse {\n\t\tmail log\n\t\tstore badger %[1]s/store\n\t}\n\tservers 127.0.0.1:%[3]s {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n}\n"+
		"http://auth.example.com:%[2]s {\n\tbind 127.0.0.1\n\tgatehouse_portal\n}\nhttp://:%[3]s {\n\tbind 127.0.0.1\n\tgatehouse_authz {\n\t\tlogin https://auth.example.com\n\t\tsite wiki.example.com any\n\t\tsite *.apps.example.com any\n\t}\n}\n", dir, portal, authz)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		c := exec.Command(gatehouse, append(args, "--config", config)...)
		c.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return c
	}
	server := run("run")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	for until := time.Now().Add(time.Minute); run("status").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the server does not answer")
		}
	}
	out, err := run("doctor", "--proxy", proxy).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// takes reads a configuration whole, with what stands in it as Any, and returns its
// listener.
func takes(t *testing.T, text string) *listener.Listener {
	t.Helper()
	b, err := read(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := b.GetStaticResources().GetListeners()
	if len(all) != 1 {
		t.Fatalf("%d listeners", len(all))
	}
	var m manager.HttpConnectionManager
	if err := all[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(&m); err != nil {
		t.Fatal(err)
	}
	if err := m.ValidateAll(); err != nil {
		t.Error(err)
	}
	for _, f := range m.GetHttpFilters() {
		inner, err := f.GetTypedConfig().UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		if err := inner.(interface{ ValidateAll() error }).ValidateAll(); err != nil {
			t.Errorf("%s: %v", f.GetName(), err)
		}
	}
	return all[0]
}
