package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/examples"
)

// The whole of it, as it stands in front of people: the proxy ends TLS for several
// sites and for the sign-in host, with what doctor prints. Of that only addresses and
// certificates are changed.

func TestNginxOverTLS(t *testing.T) {
	w := newOverTLS(t)
	w.write("nginx")
	w.certify("gatehouse-sites.conf", "/etc/ssl/certs/wiki.localhost.pem", "cert.pem", "/etc/ssl/private/wiki.localhost.key", "key.pem",
		"/etc/ssl/certs/notes.localhost.pem", "cert.pem", "/etc/ssl/private/notes.localhost.key", "key.pem",
		"/etc/ssl/certs/auth.localhost.pem", "cert.pem", "/etc/ssl/private/auth.localhost.key", "key.pem")
	plain := caddytest.FreePort(t)
	conf := strings.NewReplacer("listen 80", "listen 127.0.0.1:"+plain, "listen 443", "listen 127.0.0.1:"+w.port, "example.com", "localhost",
		"events {}", "events {}\npid nginx.pid;\nerror_log stderr;", "http {", "http {\n    access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;").
		Replace(w.example("tls/nginx/nginx.conf"))
	if err := os.WriteFile(filepath.Join(w.dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	w.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	w.try(t)
	w.leadsToTLS(plain)
	if answer, err := w.visitor().client.Get("https://blog.localhost:" + w.port + "/"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("a name of no site gets %s", answer.Status)
	}
}

func TestHAProxyOverTLS(t *testing.T) {
	w := newOverTLS(t)
	w.write("haproxy")
	var both []byte
	for _, name := range []string{"cert.pem", "key.pem"} {
		part, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "both.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	w.certify("haproxy.cfg", "/etc/haproxy/certs/", "both.pem")
	plain := caddytest.FreePort(t)
	if err := os.WriteFile(filepath.Join(w.dir, "redirect.cfg"), []byte(strings.Replace(w.example("tls/haproxy/redirect.cfg"), "bind :80", "bind 127.0.0.1:"+plain, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.processIn("haproxy", "-db", "-f", "haproxy.cfg", "-f", "redirect.cfg")
	w.try(t)
	w.leadsToTLS(plain)
	w.visitor().get("https://blog.localhost:"+w.port+"/").must(t, http.StatusMisdirectedRequest)
}

// TestExamplesOverTLS: the examples with TLS are what doctor prints for their Caddyfile,
// which the other tests here run, and the long proofs for Traefik.
func TestExamplesOverTLS(t *testing.T) {
	w := &routes{topology: newTopology(t)}
	w.admin = "127.0.0.1:" + caddytest.FreePort(t)
	w.run(w.example("tls/Caddyfile"))
	for _, proxy := range examples.Proxies {
		text := w.printed(proxy)
		names, bodies := parts.FindAllStringSubmatch(text, -1), parts.Split(text, -1)[1:]
		for i, name := range names {
			if got := w.example("tls/" + proxy + "/" + name[1]); strings.TrimSpace(got) != strings.TrimSpace(w.ports.Replace(bodies[i])) {
				t.Errorf("examples/tls/%s/%s is not what doctor prints:\n%s", proxy, name[1], bodies[i])
			}
		}
	}
}

// leadsToTLS: what is asked for over plain http at port is asked for again over TLS.
func (w *tlsTopology) leadsToTLS(port string) {
	w.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/page?x=1", nil)
	if err != nil {
		w.Fatal(err)
	}
	r.Host = "wiki.localhost"
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	_ = answer.Body.Close()
	if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusMovedPermanently || to != "https://wiki.localhost/page?x=1" {
		w.Errorf("plain http gets %s, and is led to %q", answer.Status, to)
	}
}

// tlsTopology is two sites of two apps, and the sign-in host, behind one proxy.
type tlsTopology struct{ *routes }

func newOverTLS(t *testing.T) *tlsTopology {
	t.Helper()
	w := &tlsTopology{&routes{topology: newTopology(t)}}
	w.admin = "127.0.0.1:" + caddytest.FreePort(t)
	for _, name := range []string{"wiki", "notes"} {
		w.sites = append(w.sites, &routed{host: name + ".localhost:" + w.port, app: newUpstream(t)})
	}
	w.run(strings.NewReplacer("origin http://", "origin https://", "login http://", "login https://",
		"\t\tsite wiki", "\t\tsite notes.localhost:"+w.port+" *@example.com\n\t\tsite wiki").Replace(w.config))
	w.sites[0], w.sites[1] = w.sites[1], w.sites[0] // in the order of the configuration
	w.url, w.portal = "https://wiki.localhost:"+w.port, "https://auth.localhost:"+w.port
	caddytest.WriteCertificate(t, w.dir, "wiki.localhost", "notes.localhost", "auth.localhost")
	return w
}

// certify puts others into the place of parts of a file that was printed.
func (w *tlsTopology) certify(name string, pairs ...string) {
	w.Helper()
	path := filepath.Join(w.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			w.Fatalf("%s has no %q:\n%s", name, pairs[i], text)
		}
	}
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		w.Fatal(err)
	}
}

// try: one sign-in, at the sign-in host behind the proxy, opens both sites, each with
// its own app and cookie; the links of the mail lead there, too.
func (w *tlsTopology) try(t *testing.T) {
	t.Helper()
	alice := person("alice")
	v := w.visitor()
	w.signInAt(v, "/page?x=1", alice).must(t, http.StatusOK).shows(t, alice, "/page?x=1")
	notes, hops := v.at("https://" + w.sites[0].host).follow("/other")
	notes.must(t, http.StatusOK).shows(t, alice, "/other")
	if len(hops) < 3 {
		t.Errorf("nothing was handed over: %v", hops)
	}
	if got := len(w.sites[0].app.requests()); got != 1 {
		t.Errorf("the app of the notes got %d requests", got)
	}
	for _, site := range w.sites {
		cookies := v.at("https://" + site.host).cookies()
		if !strings.Contains(cookies, "__Host-gatehouse=") {
			t.Errorf("%s: %s", site.host, cookies)
		}
	}
	list := v.at(w.portal).get("/").must(t, http.StatusOK)
	list.shows(t, "https://"+w.sites[0].host, "https://"+w.sites[1].host)
	stranger := w.visitor()
	stranger.get("/page", scripts...).must(t, http.StatusUnauthorized)
	stranger.at(w.portal).post("/_gatehouse/login", "email", person("bob")).must(t, http.StatusSeeOther)
}
