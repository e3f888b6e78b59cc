package routes

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// arrival is what becomes of a request: who gets it, as a request for which path.
type arrival struct {
	host   string
	asked  string
	to     string // an app of the host, or a file on this disk
	name   string // of the handler, as it is written in a Caddyfile
	path   string // as the app or file server sees it
	errors bool   // by an error or an answer of a gate
	others bool   // something else than a gate asks for a password before
	fixed  bool   // a rewrite made the path, whatever was asked for
	chosen string // a placeholder that the visitor fills in for it
	gates  []*Gate
	// choices are what only the request itself, or the disk, decides.
	choices map[string]int
}

// follower takes one request through the routes as Caddy would, with its path as
// rewrites leave it. Where host and path don't tell what happens it takes one of
// several ways, and comes again for the others.
type follower struct {
	*site
	asked   *url.URL
	request *http.Request
	repl    *caddy.Replacer
	way     arrival
	root    string // that the root directive names
	ended   bool
	fixed   bool // the file that was found is the same for all paths
	all     []arrival
	script  []turn // the ways to take
	turns   int    // how many are taken
}

// turn is one way of several.
type turn struct{ taken, of int }

// mostTurns bounds the ways of one request.
const mostTurns = 16

// site is the routes for one host of a server.
type site struct {
	tree    *tree
	host    string
	guarded []string // paths, one for each that its gates name
	roots   []string // directories of its file servers
}

// arrivals are all that may become of a request for asked.
func (s *site) arrivals(asked string) (all []arrival) {
	f := &follower{site: s}
	for _, fails := range []bool{false, true}[:1+min(1, len(s.tree.errors))] {
		f.script = nil
		for range mostTurns {
			f.once(asked, fails)
			f.script = f.script[:f.turns]
			for len(f.script) > 0 && f.script[len(f.script)-1].taken+1 >= f.script[len(f.script)-1].of {
				f.script = f.script[:len(f.script)-1]
			}
			if len(f.script) == 0 {
				break
			}
			f.script[len(f.script)-1].taken++
		}
	}
	return f.all
}

func (f *follower) once(asked string, fails bool) {
	f.repl = caddy.NewReplacer()
	f.request = caddyhttp.PrepareRequest(SampleRequest(f.host, asked), f.repl, nil, f.tree.server)
	for _, status := range statuses {
		f.repl.Set(status, "404")
	}
	f.asked = &url.URL{Path: asked}
	f.way = arrival{host: f.host, asked: asked, choices: map[string]int{}}
	f.root, f.ended, f.turns = "", false, 0
	before := f.all
	if f.list(f.tree.routes); fails { // what comes there is for the path that was asked for, and has the root that was set
		f.all, f.ended, f.request.URL.Path, f.request.URL.RawPath = before, false, asked, ""
		f.way.gates, f.way.others, f.way.fixed, f.way.errors = nil, false, false, true
		f.list(f.tree.errors)
	}
}

// statuses are placeholders for the status of an error or an answer.
var statuses = []string{"http.error.status_code", "http.reverse_proxy.status_code", "http.intercept.status_code"}

// choose takes one of n ways: the same again for what has been asked before.
func (f *follower) choose(about string, n int) int {
	if taken, ok := f.way.choices[about]; ok {
		return taken
	}
	if f.turns == len(f.script) {
		f.script = append(f.script, turn{0, n})
	}
	taken := f.script[f.turns].taken
	f.turns++
	f.way.choices[about] = taken
	return taken
}

func (f *follower) list(nodes []*node) {
	taken := map[string]bool{} // groups
	for _, n := range nodes {
		if n.Group != "" && taken[n.Group] || !f.matches(n.MatcherSets) {
			continue
		}
		taken[n.Group] = true
		for _, s := range n.steps {
			if f.step(s); f.ended {
				return
			}
		}
		if n.Terminal {
			f.ended = true
		}
		if f.ended {
			return
		}
	}
}

func (f *follower) matches(sets caddyhttp.MatcherSets) bool {
	return len(sets) == 0 || slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(matcher any) bool { return !f.match(matcher) })
	})
}

func (f *follower) match(matcher any) bool {
	switch m := matcher.(type) {
	case caddyhttp.MatchNot:
		return !f.matches(m.MatcherSets)
	case *caddyhttp.MatchNot:
		return !f.matches(m.MatcherSets)
	case fileserver.MatchFile:
		return f.file(&m)
	case *fileserver.MatchFile:
		return f.file(m)
	}
	switch p := (&probe{request: f.request, server: f.tree.server}); p.match(matcher) {
	case always:
		return true
	case never:
		return false
	}
	return f.choose(text(caddyhttp.MatcherSet{matcher}), 2) == 0
}

// file finds one of the files, or none.
func (f *follower) file(m *fileserver.MatchFile) bool {
	tries := m.TryFiles
	if len(tries) == 0 {
		tries = []string{"{http.request.uri.path}"}
	}
	i := f.choose("file "+strings.Join(tries, " ")+" "+f.request.URL.Path, len(tries)+1)
	if i == len(tries) || strings.HasPrefix(tries[i], "=") {
		f.ended = f.ended || i < len(tries) // try_files … =404
		return false
	}
	f.fixed = !strings.Contains(tries[i], "{")
	name, _, _ := strings.Cut(f.repl.ReplaceAll(tries[i], ""), "?")
	f.repl.Set("http.matchers.file.relative", path.Join("/", name)+slashBehind(name))
	return true
}

// slashBehind is the slash that a path ends with.
func slashBehind(path string) string {
	if strings.HasSuffix(path, "/") && path != "/" {
		return "/"
	}
	return ""
}

func (f *follower) step(s *step) {
	if s.gate != nil {
		f.gate(s.gate)
		return
	}
	switch h := s.handler.(type) {
	case *rewrite.Rewrite:
		f.rewrite(h, f.request)
		return
	case *reverseproxy.Handler:
		if asksFirst(h) { // somebody else guards what follows
			f.way.others = true
			return
		}
		f.proxy(h, s.proxied)
		f.ended = !f.answered(s) || f.ended
		return
	case *fileserver.FileServer:
		f.files(h)
		f.ended = s.ends
		return
	case *intercept.Intercept: // it also answers in the place of gates behind it
		f.ended = f.answered(s) // nothing comes after its answer
		return
	}
	if handlerName(s.handler) == "authentication" {
		f.way.others = true
	}
	f.vars(s.handler)
	kind := straight
	if slices.ContainsFunc(s.branches, func(b branch) bool { return b.kind == onError }) && f.choose(fmt.Sprintf("fails %p", s), 2) == 1 {
		kind = onError
		f.way.errors = true
	}
	for _, b := range s.branches {
		if b.kind == kind {
			f.list(b.nodes)
		}
	}
	f.ended = f.ended || s.ends || kind == onError
}

// answered tells whether the routes for an answer have been taken instead of the
// answer itself.
func (f *follower) answered(s *step) bool {
	i := f.choose(fmt.Sprintf("answer %p", s), len(s.branches)+1)
	if i == 0 {
		return false
	}
	f.way.errors = true
	f.list(s.branches[i-1].nodes)
	return true
}

// vars sets what the handler sets.
func (f *follower) vars(handler caddyhttp.MiddlewareHandler) {
	vars := varsOf(handler)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if value, ok := vars[name].(string); ok {
			value = f.fill(value, f.roots)
			f.repl.Set("http.vars."+name, value)
			if name == "root" {
				f.root = value
			}
		}
	}
}

// fill fills in the placeholders of a text. Where only the request itself has the
// value the visitor chooses: nothing, or what makes the text one of these.
func (f *follower) fill(text string, becomes []string) string {
	for _, at := range placeholder.FindAllStringIndex(text, -1) {
		name := text[at[0]+1 : at[1]-1]
		known, matched := f.repl.GetString(name)
		if known != "" || matched && strings.HasPrefix(name, "http.regexp.") || notChosen.MatchString(name) {
			continue
		}
		before := f.repl.ReplaceAll(text[:at[0]], "")
		var values []string
		for _, whole := range becomes {
			if value, ok := strings.CutPrefix(whole, before); ok && value != "" {
				values = append(values, value)
			}
		}
		if i := f.choose("chosen "+name, len(values)+1); i > 0 {
			f.repl.Set(name, values[i-1])
			f.way.chosen = text[at[0]:at[1]]
		}
	}
	return f.repl.ReplaceAll(text, "")
}

// notChosen finds placeholders that a visitor can't fill in with another path than
// the one asked for: the path itself, and what this machine or an app tells.
var notChosen = regexp.MustCompile(`^(http\.request\.(orig_)?uri(\.path.*)?$|http\.(matchers\.file|reverse_proxy|intercept|error)\.|env\.|file\.|system\.|time\.)`)

// toldByTheApp finds placeholders for what an app has answered, such as
// X-Accel-Redirect: where it leads is the app's to say.
var toldByTheApp = regexp.MustCompile(`\{http\.(reverse_proxy|intercept)\.header\.`)

// aSegment is what a visitor puts where a rewrite takes away what a placeholder says.
const aSegment = "/gatehouse-sample"

// rewrite changes the path of a request.
func (f *follower) rewrite(r *rewrite.Rewrite, to *http.Request) {
	target, _, _ := strings.Cut(r.URI, "?")
	if toldByTheApp.MatchString(target) {
		f.ended = true
		return
	}
	f.fill(target, f.guarded)
	byPath := slices.ContainsFunc(placeholder.FindAllString(target, -1), func(p string) bool {
		_, chosen := f.way.choices["chosen "+p[1:len(p)-1]]
		return !chosen && !slices.Contains(statuses, p[1:len(p)-1])
	})
	if strings.HasPrefix(target, "{http.matchers.file.") {
		f.way.fixed = f.way.fixed || f.fixed
	} else if target != "" && !byPath {
		f.way.fixed = true
	}
	f.fill(r.StripPathPrefix, []string{aSegment})
	f.fill(r.StripPathSuffix, []string{aSegment})
	for _, part := range r.URISubstring {
		f.fill(part.Find, []string{aSegment})
		f.fill(part.Replace, f.guarded)
	}
	r.Rewrite(to, f.repl)
}

// gate notes a gate that looks at the request. What its matchers can't tell is
// guarded; what is public at it is for Opened to tell.
func (f *follower) gate(g *Gate) {
	p := &probe{request: f.request, server: f.tree.server}
	if p.matches(g.Matchers) == never || !g.Guarded.match(f.request, f.request.URL) && !g.Guarded.match(f.request, f.asked) {
		return
	}
	f.way.gates = append(slices.Clip(f.way.gates), g)
}

func (f *follower) arrive(to, name, path string) {
	one := f.way
	one.to, one.name, one.path, one.choices = to, name, path, maps.Clone(f.way.choices)
	f.all = append(f.all, one)
}

func (f *follower) proxy(h *reverseproxy.Handler, p proxied) {
	to := *f.request
	at := *f.request.URL
	if to.URL = &at; h.Rewrite != nil {
		fixed := f.way.fixed
		f.rewrite(h.Rewrite, &to)
		defer func() { f.way.fixed = fixed }()
	}
	for _, upstream := range p.upstreams {
		path := at.Path
		if p.fast {
			path = f.asked.Path // which PHP is told as REQUEST_URI
		}
		f.arrive(f.host+" "+upstream, p.as, path)
	}
	if own, ok := ownRoot(h); ok {
		f.arrive(onDisk(f.directory(own), at.Path), p.as, at.Path)
	}
}

func (f *follower) files(h *fileserver.FileServer) {
	files, at := f.directory(h.Root), f.request.URL.Path
	// A file's path leads to the one without a slash, a directory's to the one with.
	canonical := (h.CanonicalURIs == nil || *h.CanonicalURIs) && path.Base(at) == path.Base(f.asked.Path)
	slash := strings.HasSuffix(at, "/")
	if !slash || !canonical {
		f.arrive(onDisk(files, at), "file_server", at)
	}
	if slash || !canonical {
		for _, index := range h.IndexNames {
			page := path.Join("/", at, index)
			f.arrive(onDisk(files, page), "file_server", page)
			f.all[len(f.all)-1].choices["file "+page] = 0
		}
	}
}

// directory is the root of a handler: its own, or that of the site.
func (f *follower) directory(own string) string {
	if own == "" || own == "{http.vars.root}" {
		return f.root
	}
	return f.fill(own, f.roots)
}

// onDisk is a file that is served for path.
func onDisk(root, path string) string {
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	return onThisDisk + filepath.Join(root, filepath.FromSlash(path))
}

// onThisDisk begins files that requests arrive at.
const onThisDisk = "files:"

// varsOf are the variables that the handler sets.
func varsOf(handler caddyhttp.MiddlewareHandler) caddyhttp.VarsMiddleware {
	switch h := handler.(type) {
	case caddyhttp.VarsMiddleware:
		return h
	case *caddyhttp.VarsMiddleware:
		return *h
	}
	return nil
}

// ownRoot is the root that the handler itself names: it serves files of it or, as
// php_fastcgi, runs them.
func ownRoot(handler caddyhttp.MiddlewareHandler) (own string, files bool) {
	switch h := handler.(type) {
	case *fileserver.FileServer:
		return h.Root, true
	case *reverseproxy.Handler:
		if fast, ok := h.Transport.(*fastcgi.Transport); ok {
			return fast.Root, true
		}
	}
	return "", false
}
