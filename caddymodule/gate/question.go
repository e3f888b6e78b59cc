package gate

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// dialect is how one family of proxies asks.
type dialect struct {
	path     string
	below    bool // the request's own path follows
	strict   bool // answers are 200, 401 and 403 alone
	location bool // a strict 401 says where to sign in
	// unread are the headers that tell of a request and are not read: they must
	// not tell of another.
	unread []string
}

// The dialects are Authelia's three and oauth2-proxy's.
var (
	forwardAuth = &dialect{path: "/api/authz/forward-auth", unread: []string{"X-Original-Method", "X-Original-Uri", "X-Original-Url"}}
	authRequest = &dialect{
		path: "/api/authz/auth-request", strict: true, location: true,
		unread: []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Uri"},
	}
	extAuthz = &dialect{
		path: "/api/authz/ext-authz", below: true,
		unread: []string{"X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Method", "X-Original-Uri", "X-Original-Url"},
	}
	oauth2Auth = &dialect{path: "/oauth2/auth", strict: true, unread: []string{"X-Original-Method", "X-Original-Uri", "X-Original-Url"}}

	dialects = []*dialect{forwardAuth, authRequest, extAuthz, oauth2Auth}
)

const (
	oauthSignIn = "/oauth2/sign_in"
	oauthStart  = "/oauth2/start"
)

// dialectOf finds the dialect of a path, nil for none.
func dialectOf(path string) *dialect {
	for _, d := range dialects {
		rest, ok := strings.CutPrefix(path, d.path)
		if ok && (rest == "" || d.below && rest[0] == '/') {
			return d
		}
	}
	return nil
}

// asked is the request that a proxy asks about, as it tells it.
type asked struct {
	scheme, host, uri, method string
}

// maxForwarded bounds what is believed of a URL: servers refuse longer ones.
const maxForwarded = 16 << 10

// read finds out which request is asked about, or what is wrong with the
// question. Everything it takes from headers is the trusted proxy's word.
func (q *question) read() (problem string) {
	if !q.trusted() {
		return "The peer is not listed in Caddy's trusted_proxies, so what it says of the request was not believed: list the proxy that asks there."
	}
	var told asked
	switch q.dialect {
	case forwardAuth:
		told, problem = q.readForwarded()
	case authRequest:
		told, problem = q.readOriginal()
	case extAuthz:
		told, problem = q.readExtended()
	default:
		told, problem = q.readOAuth()
	}
	if problem == "" {
		problem = q.contradiction(told)
	}
	if problem != "" {
		return problem
	}
	routed := q.r.URL.RawQuery
	if problem = q.take(told); problem == "" && routed != "" && !q.dialect.below {
		problem = q.misrouted(routed)
	}
	return problem
}

// misrouted compares the site that is asked about with the one that the proxy
// routes to, where the address that it asks at has it, as in ?site=wiki.example.com.
// Controllers that take the former from the Host header route by something else.
func (q *question) misrouted(query string) (problem string) {
	values, err := url.ParseQuery(query)
	sites, ok := values["site"]
	if err == nil && !ok {
		return ""
	}
	if err != nil || len(sites) != 1 {
		return "The address that the proxy asks at must name one site, as in ?site=wiki.example.com."
	}
	site, err := origin.ParseSitePattern(sites[0])
	if err != nil {
		return "The address that the proxy asks at: " + err.Error() + "."
	}
	if !site.Covers(q.origin) {
		return "The proxy routes to " + quoted(sites[0]) + " and asks about " + quoted(q.origin.Host()) + "."
	}
	return ""
}

// take brings what was told into one form.
func (q *question) take(told asked) (problem string) {
	known, problem := q.authz.recognize(told.scheme, told.host, q.run.Domain)
	if problem != "" {
		return problem
	}
	q.origin, q.site, q.login = known.origin, known.site, known.login
	// No request line has a space: it is two values that something has joined.
	if len(told.uri) > maxForwarded || !strings.HasPrefix(told.uri, "/") || strings.ContainsFunc(told.uri, IsControl) || strings.Contains(told.uri, " ") {
		return "The forwarded URI is not a path of at most 16 KiB, without spaces."
	}
	// As a request line has it: a # is a byte of the path, // begins no host.
	path, query, _ := strings.Cut(told.uri, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return "The forwarded URI has a broken escape."
	}
	q.url = &url.URL{Path: decoded, RawPath: path, RawQuery: query}
	if q.method = told.method; !isMethod(told.method) {
		return "The forwarded method is not one."
	}
	h := q.r.Header
	if lines := h["Upgrade"]; len(lines) > 1 || len(lines) == 1 && !strings.EqualFold(lines[0], "websocket") {
		// The proxy would send the app the same: behind h2c nobody would ask us.
		return "The proxy passes on Upgrade: " + quoted(strings.Join(lines, ", ")) + "; have it remove every Upgrade but one websocket."
	}
	q.webSocket = isWebSocket(h)
	q.takeToken()
	return ""
}

func isMethod(s string) bool {
	switch s {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return true
	}
	return s != "" && len(s) <= 32 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

func forwardedOrigin(scheme, host string) (o origin.Origin, problem string) {
	switch strings.ToLower(scheme) {
	case "https", "wss":
		scheme = "https"
	case "http", "ws":
		scheme = "http"
	default:
		return o, "The forwarded scheme is neither https nor http."
	}
	o, err := origin.New(scheme, host)
	if err != nil {
		return o, "The forwarded host " + quoted(host) + " can't be read: " + err.Error() + "."
	}
	return o, ""
}

// one returns a header that must be there once, and not as a list: of two
// values nobody knows which one the proxy has checked.
func (q *question) one(name string) (value, problem string) {
	lines := q.r.Header[name]
	if len(lines) != 1 || lines[0] == "" {
		return "", "The proxy must send " + name + ", exactly once."
	}
	return lines[0], ""
}

// readForwarded is how Traefik, Caddy and HAProxy ask.
func (q *question) readForwarded() (told asked, problem string) {
	if told.scheme, problem = q.one("X-Forwarded-Proto"); problem != "" {
		return told, problem
	}
	if told.host, problem = q.one("X-Forwarded-Host"); problem != "" {
		return told, problem
	}
	if told.uri, problem = q.one("X-Forwarded-Uri"); problem != "" {
		return told, problem
	}
	told.method, problem = q.one("X-Forwarded-Method")
	return told, problem
}

// readOriginal is how nginx asks.
func (q *question) readOriginal() (asked, string) {
	whole, problem := q.one("X-Original-Url")
	if problem != "" {
		return asked{}, problem
	}
	method, problem := q.one("X-Original-Method")
	if problem != "" {
		return asked{}, problem
	}
	scheme, rest, ok := strings.Cut(whole, "://")
	end := strings.IndexAny(rest, "/?#")
	if !ok || end < 0 || rest[end] != '/' {
		return asked{}, "X-Original-URL must be a whole URL: the site's origin, written in nginx's configuration, and $request_uri."
	}
	return asked{scheme, rest[:end], rest[end:], method}, ""
}

// readExtended is how Envoy asks: with the request's own method, host and path.
func (q *question) readExtended() (asked, string) {
	scheme, problem := q.one("X-Forwarded-Proto")
	if problem != "" {
		return asked{}, problem
	}
	uri := q.r.RequestURI
	if uri == "" || uri[0] != '/' {
		uri = q.url.RequestURI()
	}
	uri, ok := strings.CutPrefix(uri, "/api/authz/ext-authz")
	if !ok {
		return asked{}, "The path must begin with /api/authz/ext-authz as it stands."
	}
	if uri == "" || uri[0] == '?' {
		uri = "/" + uri
	}
	return asked{scheme, q.r.Host, uri, q.r.Method}, ""
}

// single takes the second of two slashes at the beginning away, which is that of
// a path_prefix with a slash at its end; Authelia's documentation writes it so.
// It might also be the client's, and the app read "//public/secret" as /secret
// of a host called public: so this comes once the path has been judged, for the
// address to return to alone.
func (q *question) single() {
	if q.dialect.below && strings.HasPrefix(q.url.RawPath, "//") {
		q.url.RawPath, q.url.Path = q.url.RawPath[1:], q.url.Path[1:]
	}
}

// readOAuth is how nginx asks oauth2-proxy. Its documentation sets neither
// scheme nor method: the scheme is then that of the login host.
func (q *question) readOAuth() (asked, string) {
	uri, problem := q.one("X-Forwarded-Uri")
	if problem != "" {
		return asked{}, problem
	}
	told := asked{scheme: q.authz.Login.Scheme(), host: q.r.Host, uri: uri, method: http.MethodGet}
	for name, into := range map[string]*string{"X-Forwarded-Proto": &told.scheme, "X-Forwarded-Host": &told.host, "X-Forwarded-Method": &told.method} {
		if len(q.r.Header[name]) == 0 {
			continue
		}
		if *into, problem = q.one(name); problem != "" {
			return asked{}, problem
		}
	}
	return told, ""
}

// contradiction finds a header that tells of another request than told. A
// client's own headers get to us beside the proxy's; one that the proxy did not
// set must not be the one that somebody believes.
func (q *question) contradiction(told asked) (problem string) {
	for _, name := range q.dialect.unread {
		lines := q.r.Header[name]
		if len(lines) > 1 || len(lines) == 1 && !told.agrees(name, lines[0]) {
			return name + " contradicts the request that the proxy asks about: have the proxy set or remove it."
		}
	}
	return ""
}

// agrees tells whether a header says the same.
func (a *asked) agrees(name, value string) bool {
	switch name {
	case "X-Forwarded-Proto":
		return sameScheme(value, a.scheme)
	case "X-Forwarded-Host":
		return strings.EqualFold(value, a.host)
	case "X-Forwarded-Method", "X-Original-Method":
		return value == a.method
	case "X-Original-Url":
		return sameURL(value, *a)
	}
	return value == a.uri
}

func sameScheme(a, b string) bool {
	secure := func(s string) bool { return strings.EqualFold(s, "https") || strings.EqualFold(s, "wss") }
	return strings.EqualFold(a, b) || secure(a) == secure(b) && strings.HasPrefix(strings.ToLower(a), "ws")
}

// sameURL reads X-Original-URL, which some proxies fill with the path alone.
func sameURL(s string, told asked) bool {
	return s == told.uri || strings.EqualFold(s, told.scheme+"://"+told.host+told.uri) && strings.HasSuffix(s, told.uri)
}

// ownOrigin is the site that a request for one of our own pages is for, passed
// on by the site's proxy.
func (q *question) ownOrigin() (o origin.Origin, problem string) {
	scheme, host := q.authz.Login.Scheme(), q.r.Host
	if !q.trusted() {
		return o, "The peer is not listed in Caddy's trusted_proxies: list the proxy that passes /_gatehouse/* on there."
	}
	for name, into := range map[string]*string{"X-Forwarded-Proto": &scheme, "X-Forwarded-Host": &host} {
		if len(q.r.Header[name]) == 0 {
			continue
		}
		if *into, problem = q.one(name); problem != "" {
			return o, problem
		}
	}
	return forwardedOrigin(scheme, host)
}
