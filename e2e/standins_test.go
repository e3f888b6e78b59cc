package e2e

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Traefik and Envoy do not run here. What stands in for each does what its
// documentation and source say of the options that the example uses, and takes
// the lists and addresses from the example itself. Traefik itself takes minutes to
// build: TestTraefik, of the long proofs, runs it through the same tour.

func TestTraefikStandIn(t *testing.T) {
	top := newTopology(t)
	config := top.example("traefik/dynamic.yml")
	f := &traefik{
		unclaimed: listUnder(config, "    unclaimed:", "customRequestHeaders:"),
		copied:    listUnder(config, "    wiki-asks:", "authResponseHeaders:"),
		spent:     listUnder(config, "    spent:", "customRequestHeaders:"),
		stays:     listUnder(config, "    stays:", "customRequestHeaders:"),
		switches:  listUnder(config, "    switches:", "customRequestHeaders:"),
		address:   regexp.MustCompile(`address: (\S+)`).FindStringSubmatch(config)[1],
		app:       handTo(top.app.addr),
		portal:    handTo(top.direct),
	}
	if len(f.unclaimed) == 0 || len(f.copied) != 4 || len(f.spent) != 1 || len(f.stays) == 0 || len(f.switches) == 0 ||
		!strings.Contains(config, "trustForwardHeader: false") || !strings.Contains(top.example("traefik/traefik.yml"), "aliasHeadersStrategy: delete") {
		t.Fatalf("the example has changed its form: %+v", f)
	}
	f.gatehouse = handTo(mustURL(f.address).Host)
	top.serve(f)
	top.tour(t)
}

func TestEnvoyStandIn(t *testing.T) {
	top := newTopology(t)
	config := top.example("envoy/envoy.yaml")
	f := &envoy{
		removed: listUnder(config, "request_mutations:", ""), allowed: listUnder(config, "allowed_headers:", "patterns:"),
		upstream: listUnder(config, "allowed_upstream_headers:", "patterns:"), client: listUnder(config, "allowed_client_headers:", "patterns:"),
		spent:   []string{"x-gatehouse-token"},
		address: regexp.MustCompile(`uri: (http\S+)`).FindStringSubmatch(config)[1] + "/api/authz/ext-authz",
		app:     proxyTo(top.app.addr),
		portal:  proxyTo(top.direct),
	}
	if len(f.removed) == 0 || len(f.allowed) == 0 || len(f.upstream) != 4 || !slices.Contains(f.client, "exact: location") || !strings.Contains(config, "request_headers_to_remove: [x-gatehouse-token]") {
		t.Fatalf("the example has changed its form: %+v", f)
	}
	f.gatehouse = proxyTo(mustURL(f.address).Host)
	top.serve(f)
	top.tour(t)
}

// listUnder returns the items of the YAML list or map under the last of two
// keys, the second looked for after the first.
func listUnder(text, first, second string) []string {
	_, text, _ = strings.Cut(text, first)
	_, text, _ = strings.Cut(text, second)
	_, text, _ = strings.Cut(text, "\n")
	var items []string
	indent := len(text) - len(strings.TrimLeft(text, " "))
	for line := range strings.Lines(text) {
		item := strings.TrimLeft(line, " ")
		if len(line)-len(item) < indent || strings.TrimSpace(line) == "" {
			break
		}
		item = strings.TrimSpace(strings.TrimPrefix(item, "- "))
		items = append(items, strings.TrimPrefix(strings.TrimSuffix(item, `: ""`), "remove: "))
	}
	return items
}

// serve answers at the proxy's address.
func (top *topology) serve(h http.Handler) {
	top.Helper()
	l, err := net.Listen("tcp", top.proxy)
	if err != nil {
		top.Fatal(err)
	}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	top.Cleanup(func() { _ = server.Close(); <-done })
}

// proxyTo passes requests on with the client's Host, and with
// X-Forwarded-* of its own.
func proxyTo(addr string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", addr, r.In.Host
		r.SetXForwarded()
		r.Out.URL.RawQuery = r.In.URL.RawQuery
	}}
}

// hopByHop are what the question has not, nor what is refused by it.
var hopByHop = []string{"Connection", "Keep-Alive", "Te", "Trailers", "Transfer-Encoding", "Upgrade"}

func without(h http.Header, names []string) http.Header {
	h = h.Clone()
	for _, name := range names {
		h.Del(name)
	}
	return h
}

// traefik is the entry point, headers and forwardAuth of Traefik, compared with the
// source and the behaviour of 3.7.13.
type traefik struct {
	unclaimed, copied, spent []string
	stays, switches          []string
	address                  string
	app, gatehouse, portal   http.Handler
}

// forwarded are what Traefik says itself, in its own words.
var forwarded = []string{"X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Real-Ip"}

// handTo passes requests on with the X-Forwarded-* that they have, and the client's
// address.
func handTo(addr string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		for _, name := range append([]string{"Forwarded"}, forwarded...) {
			if values, ok := r.In.Header[name]; ok {
				r.Out.Header[name] = values
			}
		}
		r.Out.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", addr, r.In.Host
	}}
}

var oddName = regexp.MustCompile(`[^A-Za-z0-9-]`)

// enter is the entry point.
func (f *traefik) enter(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Opaque != "" || strings.Contains(r.URL.RawPath, "#") {
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	r.URL = r.URL.JoinPath() // without dots and doubled slashes
	for name := range r.Header {
		if oddName.MatchString(name) {
			delete(r.Header, name)
		}
	}
	r.Header = without(r.Header, forwarded)
	upgrade, named := r.Header.Get("Upgrade"), strings.Split(strings.Join(r.Header["Connection"], ","), ",")
	scheme, switching := "http", false
	for _, name := range named {
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		switching = switching || name == "Upgrade"
		r.Header.Del(name)
	}
	r.Header.Del("Connection")
	if switching && upgrade != "" { // the first line takes the place of all
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", upgrade)
		if strings.EqualFold(upgrade, "websocket") {
			scheme = "ws"
		}
	}
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "80"
	}
	for name, value := range map[string]string{"X-Forwarded-Proto": scheme, "X-Forwarded-Host": r.Host, "X-Forwarded-Port": port, "X-Forwarded-Server": "traefik", "X-Real-Ip": "127.0.0.1"} {
		r.Header.Set(name, value)
	}
	return true
}

func (f *traefik) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if !f.enter(w, r) {
		return
	}
	switch strings.ToLower(strings.TrimSuffix(host, ".")) {
	case "auth.localhost":
		f.portal.ServeHTTP(w, r)
	case "wiki.localhost":
		if strings.HasPrefix(r.URL.Path, "/_gatehouse/") {
			f.gatehouse.ServeHTTP(w, r)
			return
		}
		f.ask(w, r)
	default:
		http.NotFound(w, r)
	}
}

// ask is the middlewares of the site.
func (f *traefik) ask(w http.ResponseWriter, r *http.Request) {
	r.Header = without(r.Header, f.unclaimed)
	if slices.ContainsFunc(r.Header["Upgrade"], func(v string) bool { return strings.EqualFold(v, "websocket") }) { // HeaderRegexp: any of the values
		for _, line := range f.switches {
			if name, value, sets := strings.Cut(line, ": "); sets {
				r.Header.Set(name, value)
			} else {
				r.Header.Del(line)
			}
		}
	} else {
		r.Header = without(r.Header, f.stays)
	}
	question, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, f.address, nil)
	question.Header = without(without(r.Header, hopByHop), forwarded)
	for name, value := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Method": r.Method, "X-Forwarded-Proto": "http", "X-Forwarded-Port": r.Header.Get("X-Forwarded-Port"), "X-Forwarded-Host": r.Host, "X-Forwarded-Uri": r.URL.RequestURI()} {
		question.Header.Set(name, value)
	}
	if question.Header["User-Agent"] == nil {
		question.Header.Set("User-Agent", "")
	}
	answer, err := http.DefaultTransport.RoundTrip(question)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		h := without(answer.Header, hopByHop)
		if to, err := answer.Location(); err == nil { // absolute: a relative one would lead to Gatehouse's own address
			h.Set("Location", to.String())
		}
		giveBack(w, answer, h)
		return
	}
	for _, name := range f.copied {
		r.Header.Del(name)
		if values := answer.Header.Values(name); len(values) > 0 {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	r.Header = without(r.Header, f.spent)
	f.app.ServeHTTP(w, r)
}

func giveBack(w http.ResponseWriter, answer *http.Response, h http.Header) {
	for name, values := range h {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// envoy is the connection manager, header_mutation and ext_authz of Envoy with
// the options of the example.
type envoy struct {
	removed, allowed, upstream, client, spent []string
	address                                   string
	app, gatehouse, portal                    http.Handler
}

func (f *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signIn := strings.HasPrefix(strings.ToLower(r.Host), "auth.localhost:")
	if host := strings.ToLower(r.Host); !signIn && host != "wiki.localhost" && !strings.HasPrefix(host, "wiki.localhost:") {
		http.NotFound(w, r)
		return
	}
	path := r.URL.EscapedPath()
	if lower := strings.ToLower(path); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") || strings.Contains(path, "%00") {
		w.WriteHeader(http.StatusBadRequest) // path_with_escaped_slashes_action
		return
	}
	if upgrade := strings.Join(r.Header["Upgrade"], ","); upgrade != "" && !strings.EqualFold(upgrade, "websocket") {
		w.WriteHeader(http.StatusForbidden) // upgrade_configs
		return
	} else if upgrade == "" {
		r.Header.Del("Connection")
	} else {
		r.Header.Set("Connection", "Upgrade")
	}
	for name := range r.Header {
		if strings.Contains(name, "_") {
			delete(r.Header, name) // headers_with_underscores_action
		}
	}
	r.Header.Set("X-Forwarded-Proto", "http") // use_remote_address
	r.Header.Set("X-Forwarded-For", "127.0.0.1")
	r.URL = r.URL.ResolveReference(&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}) // normalize_path
	switch {
	case signIn:
		f.portal.ServeHTTP(w, r)
		return
	case strings.HasPrefix(r.URL.Path, "/_gatehouse/"):
		f.gatehouse.ServeHTTP(w, r)
		return
	}
	r.Header = without(r.Header, f.removed)
	f.ask(w, r)
}

func (f *envoy) ask(w http.ResponseWriter, r *http.Request) {
	question, err := http.NewRequestWithContext(r.Context(), r.Method, f.address+r.URL.RequestURI(), nil)
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	question.Host = r.Host
	for name, values := range r.Header {
		if name == "Authorization" || isListed(f.allowed, name) { // Host, method, path and Authorization always go along
			question.Header[name] = values
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(question)
	if err != nil {
		w.WriteHeader(http.StatusForbidden) // without failure_mode_allow
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		h := http.Header{}
		for name, values := range answer.Header {
			if isListed(f.client, name) {
				h[name] = values
			}
		}
		giveBack(w, answer, h)
		return
	}
	for name, values := range answer.Header {
		if isListed(f.upstream, name) {
			r.Header[name] = values
		}
	}
	r.Header = without(r.Header, f.spent)
	f.app.ServeHTTP(w, r)
}

// isListed reads the patterns "exact: x" and "prefix: x".
func isListed(patterns []string, name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(patterns, func(p string) bool {
		kind, want, _ := strings.Cut(p, ": ")
		return kind == "exact" && name == want || kind == "prefix" && strings.HasPrefix(name, want)
	})
}
