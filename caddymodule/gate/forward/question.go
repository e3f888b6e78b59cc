package forward

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Dialect is how one family of proxies asks.
type Dialect struct {
	path     string
	below    bool // the request's own path follows
	Strict   bool // answers are 200, 401 and 403 alone
	Location bool // a strict 401 says where to sign in
	// unread are the headers that tell of a request and are not read: they must
	// not tell of another.
	unread []string
}

// The dialects are Authelia's three and oauth2-proxy's.
var (
	forwardAuth = &Dialect{path: "/api/authz/forward-auth", unread: []string{"X-Original-Method", "X-Original-Uri", "X-Original-Url"}}
	authRequest = &Dialect{
		path: "/api/authz/auth-request", Strict: true, Location: true,
		unread: []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Uri"},
	}
	extAuthz = &Dialect{
		path: "/api/authz/ext-authz", below: true,
		unread: []string{"X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Method", "X-Original-Uri", "X-Original-Url"},
	}
	oauth2Auth = &Dialect{path: "/oauth2/auth", Strict: true, unread: []string{"X-Original-Method", "X-Original-Uri", "X-Original-Url"}}

	dialects = []*Dialect{forwardAuth, authRequest, extAuthz, oauth2Auth}
)

// IsSignIn tells whether path is one of oauth2-proxy's that lead to the sign-in.
func IsSignIn(path string) bool { return path == "/oauth2/sign_in" || path == "/oauth2/start" }

// DialectOf finds the dialect of a path, nil for none.
func DialectOf(path string) *Dialect {
	for _, d := range dialects {
		rest, ok := strings.CutPrefix(path, d.path)
		if ok && (rest == "" || d.below && rest[0] == '/') {
			return d
		}
	}
	return nil
}

// Told is the request that a proxy asks about, as it tells it.
type Told struct {
	Scheme, Host, uri, Method string
}

// maxURI bounds what is believed of a URL: servers refuse longer ones.
const maxURI = 16 << 10

// Question is one question of a trusted proxy. Everything that is taken from its
// headers is the proxy's word.
type Question struct {
	Request *http.Request
	At      *url.URL // the address that the proxy asks at, before any rewrite
	Scheme  string   // of a site about which the proxy does not say it
}

// Read finds out which request is asked about, or what is wrong with the
// question.
func (q Question) Read(d *Dialect) (told Told, problem string) {
	switch d {
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
		problem = q.contradiction(d, told)
	}
	return told, problem
}

// Misrouted compares the site that is asked about with the one that the proxy
// routes to, where the address that it asks at has it, as in ?site=wiki.example.com.
// Controllers that take the former from the Host header route by something else.
// pinned: the proxy's configuration names this very site there.
func (q Question) Misrouted(d *Dialect, to origin.Origin) (pinned bool, problem string) {
	query := q.Request.URL.RawQuery
	if d.below || query == "" {
		return false, ""
	}
	values, err := url.ParseQuery(query)
	sites, ok := values["site"]
	if !ok && q.isVisitors(query) {
		return false, ""
	}
	for name := range values {
		if !slices.Contains(parameters, name) {
			return false, "The address that the proxy asks at has the parameter " + web.Quoted(name) + ", which means nothing here. There are " + strings.Join(parameters, ", ") + "."
		}
	}
	if err == nil && !ok {
		return false, ""
	}
	if err != nil || len(sites) != 1 {
		return false, "The address that the proxy asks at must name one site, as in ?site=wiki.example.com."
	}
	site, err := origin.ParseSitePattern(sites[0])
	if err != nil {
		return false, "The address that the proxy asks at: " + err.Error() + "."
	}
	if !site.Covers(to) {
		return false, "The proxy routes to " + web.Quoted(sites[0]) + " and asks about " + web.Quoted(to.Host()) + "."
	}
	return site.Exact() && !q.isVisitors(query), ""
}

// parameters are those of the address that a proxy asks at: a pin that is misspelt
// must not be one that holds nobody. Those behind site are Authelia's; where people
// sign in is configured here.
var parameters = []string{"site", "authelia_url", "rd"}

// isVisitors tells whether the query is that of the request that is asked about:
// Caddy's forward_auth hands it on where its uri has none of its own.
func (q Question) isVisitors(query string) bool {
	for _, name := range []string{"X-Forwarded-Uri", "X-Original-Url"} {
		if lines := q.Request.Header[name]; len(lines) == 1 {
			if _, asked, _ := strings.Cut(lines[0], "?"); asked == query {
				return true
			}
		}
	}
	return false
}

// URL is the address that is asked about, as a request line has it: a # is a byte
// of the path, // begins no host.
func (t Told) URL() (at *url.URL, problem string) {
	// No request line has a space: it is two values that something has joined.
	if len(t.uri) > maxURI || !strings.HasPrefix(t.uri, "/") || strings.ContainsFunc(t.uri, web.IsControl) || strings.Contains(t.uri, " ") {
		return nil, "The forwarded URI is not a path of at most 16 KiB, without spaces."
	}
	path, query, _ := strings.Cut(t.uri, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, "The forwarded URI has a broken escape."
	}
	if !isMethod(t.Method) {
		return nil, "The forwarded method is not one."
	}
	return &url.URL{Path: decoded, RawPath: path, RawQuery: query}, ""
}

func isMethod(s string) bool {
	switch s {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return true
	}
	return s != "" && len(s) <= 32 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// Origin reads the scheme and host that a proxy tells.
func Origin(scheme, host string) (o origin.Origin, problem string) {
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
		return o, "The forwarded host " + web.Quoted(host) + " can't be read: " + err.Error() + "."
	}
	return o, ""
}

// one returns a header that must be there once, and not as a list: of two
// values nobody knows which one the proxy has checked.
func (q Question) one(name string) (value, problem string) {
	lines := q.Request.Header[name]
	if len(lines) != 1 || lines[0] == "" {
		return "", "The proxy must send " + name + ", exactly once."
	}
	if name == "X-Forwarded-Host" && strings.Contains(lines[0], ",") {
		return "", "X-Forwarded-Host is a list, " + web.Quoted(lines[0]) + ": have the proxy set it to the site's host instead of adding to what came."
	}
	return lines[0], ""
}

// readForwarded is how Traefik, Caddy and HAProxy ask.
func (q Question) readForwarded() (told Told, problem string) {
	if told.Scheme, problem = q.one("X-Forwarded-Proto"); problem != "" {
		return told, problem
	}
	if told.Host, problem = q.one("X-Forwarded-Host"); problem != "" {
		return told, problem
	}
	if told.uri, problem = q.one("X-Forwarded-Uri"); problem != "" {
		return told, problem
	}
	told.Method, problem = q.one("X-Forwarded-Method")
	return told, problem
}

// readOriginal is how nginx asks.
func (q Question) readOriginal() (Told, string) {
	whole, problem := q.one("X-Original-Url")
	if problem != "" {
		return Told{}, problem
	}
	method, problem := q.one("X-Original-Method")
	if problem != "" {
		return Told{}, problem
	}
	scheme, rest, ok := strings.Cut(whole, "://")
	end := strings.IndexAny(rest, "/?#")
	if !ok || end < 0 || rest[end] != '/' {
		return Told{}, "X-Original-URL must be a whole URL: the site's origin, written in nginx's configuration, and $request_uri."
	}
	return Told{scheme, rest[:end], rest[end:], method}, ""
}

// readExtended is how Envoy asks: with the request's own method, host and path.
func (q Question) readExtended() (Told, string) {
	scheme, problem := q.one("X-Forwarded-Proto")
	if problem != "" {
		return Told{}, problem
	}
	uri := q.Request.RequestURI
	if uri == "" || uri[0] != '/' {
		uri = q.At.RequestURI()
	}
	uri, ok := strings.CutPrefix(uri, "/api/authz/ext-authz")
	if !ok {
		return Told{}, "The path must begin with /api/authz/ext-authz as it stands."
	}
	if uri == "" || uri[0] == '?' {
		uri = "/" + uri
	}
	return Told{scheme, q.Request.Host, uri, q.Request.Method}, ""
}

// Single takes the second of two slashes at the beginning away, which is that of
// a path_prefix with a slash at its end; Authelia's documentation writes it so.
// It might also be the client's, and the app read "//public/secret" as /secret
// of a host called public: so this comes once the path has been judged, for the
// address to return to alone.
func (d *Dialect) Single(at *url.URL) {
	if d.below && strings.HasPrefix(at.RawPath, "//") {
		at.RawPath, at.Path = at.RawPath[1:], at.Path[1:]
	}
}

// readOAuth is how nginx asks oauth2-proxy. Its documentation sets neither
// scheme nor method: the scheme is then that of the login host.
func (q Question) readOAuth() (Told, string) {
	uri, problem := q.one("X-Forwarded-Uri")
	if problem != "" {
		return Told{}, problem
	}
	told := Told{Scheme: q.Scheme, Host: q.Request.Host, uri: uri, Method: http.MethodGet}
	for name, into := range map[string]*string{"X-Forwarded-Proto": &told.Scheme, "X-Forwarded-Host": &told.Host, "X-Forwarded-Method": &told.Method} {
		if len(q.Request.Header[name]) == 0 {
			continue
		}
		if *into, problem = q.one(name); problem != "" {
			return Told{}, problem
		}
	}
	return told, ""
}

// contradiction finds a header that tells of another request than told. A
// client's own headers get to us beside the proxy's; one that the proxy did not
// set must not be the one that somebody believes.
func (q Question) contradiction(d *Dialect, told Told) (problem string) {
	for _, name := range d.unread {
		lines := q.Request.Header[name]
		if len(lines) > 1 || len(lines) == 1 && !told.agrees(name, lines[0]) {
			return name + " contradicts the request that the proxy asks about: have the proxy set or remove it."
		}
	}
	return ""
}

// agrees tells whether a header says the same.
func (t Told) agrees(name, value string) bool {
	switch name {
	case "X-Forwarded-Proto":
		return sameScheme(value, t.Scheme)
	case "X-Forwarded-Host":
		return strings.EqualFold(value, t.Host)
	case "X-Forwarded-Method", "X-Original-Method":
		return value == t.Method
	case "X-Original-Url":
		return sameURL(value, t)
	}
	return value == t.uri
}

func sameScheme(a, b string) bool {
	secure := func(s string) bool { return strings.EqualFold(s, "https") || strings.EqualFold(s, "wss") }
	return strings.EqualFold(a, b) || secure(a) == secure(b) && strings.HasPrefix(strings.ToLower(a), "ws")
}

// sameURL reads X-Original-URL, which some proxies fill with the path alone.
func sameURL(s string, told Told) bool {
	return s == told.uri || strings.EqualFold(s, told.Scheme+"://"+told.Host+told.uri) && strings.HasSuffix(s, told.uri)
}

// Own is the site that a request for one of our own pages is for, passed on by
// the site's proxy.
func (q Question) Own() (o origin.Origin, problem string) {
	scheme, host := q.Scheme, q.Request.Host
	for name, into := range map[string]*string{"X-Forwarded-Proto": &scheme, "X-Forwarded-Host": &host} {
		if len(q.Request.Header[name]) == 0 {
			continue
		}
		if *into, problem = q.one(name); problem != "" {
			return o, problem
		}
	}
	return Origin(scheme, host)
}
