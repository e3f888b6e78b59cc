package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-auth/gatehouse"

// A layer is a room of the house: what it may reach among our own packages, and
// what it must not use from elsewhere. Paths end in /... for a whole tree.
type layer struct {
	path   string   // below the module; the first layer that matches counts
	own    []string // our packages that it may import, itself always
	not    []string // what it must not even reach through others
	direct []string // what it must not import itself
	why    string
}

var layers = []layer{
	{"authcore", []string{"authcore/apps", "authcore/organization", "authcore/move", "authcore/notice", "authcore/address", "authcore/session", "authcore/delivery", "authcore/person", "authcore/challenge", "authcore/event", "authcore/grant", "authcore/origin", "authcore/orgname", "authcore/policy", "authcore/keyring", "authcore/limit", "authcore/outbox", "authcore/store", "authcore/internal/ascii"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"the domain is the same behind every server and on every store; it takes values and returns values"},
	{"authcore/apps", []string{"authcore/address", "authcore/challenge", "authcore/delivery", "authcore/event", "authcore/grant", "authcore/internal/ascii", "authcore/internal/decide", "authcore/organization", "authcore/keyring", "authcore/limit", "authcore/orgname", "authcore/origin", "authcore/outbox", "authcore/person", "authcore/session", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"what apps know and ask for; it knows no wire format"},
	{"authcore/organization", []string{"authcore/address", "authcore/event", "authcore/internal/ascii", "authcore/internal/decide", "authcore/keyring", "authcore/orgname", "authcore/person", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"how people of an app stand together; it sends nothing and knows no app"},
	{"authcore/move", []string{"authcore/address", "authcore/apps", "authcore/organization", "authcore/challenge", "authcore/grant", "authcore/keyring", "authcore/orgname", "authcore/origin", "authcore/person", "authcore/session", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"state as lines, out and in; it holds none"},
	{"authcore/internal/decide", []string{"authcore/event", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"a transaction that comes to a verdict; it knows none of them but yes"},
	{"authcore/internal/ascii", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"letters and digits, for all who read names"},
	{"authcore/address", []string{"authcore/internal/ascii"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"what a mailbox and a number are called; it knows nobody"},
	{"authcore/origin", []string{"authcore/address", "authcore/internal/ascii"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"what places are called; it knows no request"},
	{"authcore/policy", []string{"authcore/address", "authcore/internal/ascii", "internal/files"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"who is admitted; it knows no session"},
	{"authcore/keyring", []string{"authcore/address", "authcore/store", "authcore/internal/ascii"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"secrets and signing keys; it knows no challenge and no session"},
	{"authcore/challenge", []string{"authcore/address", "authcore/event", "authcore/keyring", "authcore/limit", "authcore/origin", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"one code and link, for browsers and for apps; it knows no session and no mail"},
	{"authcore/limit", []string{"authcore/address", "authcore/keyring", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"how often; it knows nothing of what is counted"},
	{"authcore/notice", []string{"authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"what nodes tell each other; it knows nothing of what is told"},
	{"authcore/store", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"the contract of the engines; it knows no rule"},
	{"authcore/event", []string{"authcore/address"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"plain values; it knows nobody who makes or hears them"},
	{"authcore/session", []string{"authcore/address", "authcore/challenge", "authcore/event", "authcore/keyring", "authcore/origin", "authcore/person", "authcore/policy", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"what is held after a proof; it knows neither how that is made nor who asks"},
	{"authcore/grant", []string{"authcore/address", "authcore/event", "authcore/keyring", "authcore/origin", "authcore/person", "authcore/policy", "authcore/session", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"what apps hold of a session; it knows no protocol"},
	{"authcore/outbox", []string{"authcore/address", "authcore/event", "authcore/origin", "authcore/keyring", "authcore/limit", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"what goes out; it knows no challenge, and no sender but by its contract"},
	{"authcore/delivery", []string{"authcore/address", "authcore/challenge", "authcore/event", "authcore/keyring", "authcore/limit", "authcore/outbox", "authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http", "html/template"},
		"how mail fares behind the senders; it knows neither them nor who asks"},
	{"authcore/orgname", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"what is a name is a question about texts"},
	{"authcore/person", []string{"authcore/address", "authcore/event", "authcore/keyring", "authcore/store", "authcore/internal/ascii"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"who is known; it knows nothing that they do"},
	{"authcore/storetest", []string{"authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"one suite holds every store, so it can know none"},
	{"authcore/memstore", []string{"authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"a store knows the domain's contract and its engine, nothing else"},
	{"authcore/badgerstore", []string{"authcore/store"}, []string{caddyPath}, []string{"net/http"},
		"a store knows the domain's contract and its engine, nothing else"},
	{"authcore/pgstore/pgtest", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"servers for tests; it knows no store"},
	{"authcore/pgstore", []string{"authcore/store"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"a store knows the domain's contract and its engine, nothing else"},
	{"authcore/...", []string{"authcore/address", "authcore/origin", "authcore/keyring", "authcore/outbox", "authcore/rfc5322", "authcore/smtp/smtptest", "authcore/internal/outgoing", "authcore/oauth", "authcore/oauth/oauthtest"}, []string{caddyPath, badgerPath}, nil,
		"a sender knows the outbox's contract and its mail library, nothing else"},
	{"internal/files/...", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"regular files, bounded in size and time; it knows no configuration"},
	{"internal/web", []string{"authcore/origin"}, []string{caddyPath, badgerPath}, nil,
		"what the rooms that speak HTTP share; it knows no session and no page"},
	{"pages/screen/accent", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"a colour and whether it can be read"},
	{"pages/screen/icon", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"pixels; it knows no file and no page"},
	{"pages/screen", []string{"pages/screen/accent", "pages/screen/icon", "internal/files", "internal/web", "authcore/rfc5322", "authcore", "authcore/session", "authcore/address", "authcore/challenge", "authcore/event", "authcore/origin", "authcore/keyring", "authcore/outbox", "authcore/limit", "authcore/policy"}, []string{caddyPath, badgerPath}, nil,
		"what people see; it knows no request and decides nothing"},
	{"pages", []string{"authcore/apps", "authcore/person", "authcore/delivery", "internal/web", "pages/screen", "authcore", "authcore/session", "authcore/address", "authcore/challenge", "authcore/event", "authcore/origin", "authcore/keyring", "authcore/outbox", "authcore/limit", "authcore/policy"}, []string{caddyPath, badgerPath}, nil,
		"pages serve any net/http server, and hold no rule about who may sign in"},
	{"hooks", []string{"internal/web", "authcore/address", "authcore/challenge", "authcore/delivery"}, []string{caddyPath, badgerPath}, nil,
		"it reads and checks what mail systems report; what follows is the domain's"},
	{"oidc", []string{"internal/web", "authcore", "authcore/address", "authcore/event", "authcore/grant", "authcore/keyring", "authcore/limit", "authcore/origin", "authcore/person", "authcore/session", "pages", "pages/screen"}, []string{caddyPath, badgerPath}, nil,
		"the provider serves any net/http server; signing in is the pages' part"},
	{"api", []string{"authcore/apps", "internal/web", "authcore", "authcore/address", "authcore/person", "authcore/event", "authcore/origin", "authcore/keyring", "authcore/outbox", "authcore/limit", "pages", "pages/screen"}, []string{caddyPath, badgerPath}, nil,
		"what the dialects share translates to core calls, and holds no rule of its own"},
	{"api/apitest", []string{"authcore/apps", "authcore", "authcore/session", "authcore/address", "authcore/person", "authcore/event", "authcore/origin", "authcore/keyring", "authcore/outbox", "authcore/limit", "authcore/store", "authcore/memstore", "authcore/storetest", "api", "pages", "pages/screen"}, []string{caddyPath, badgerPath}, nil,
		"what the tests of the dialects share"},
	{"api/...", []string{"authcore/apps", "authcore/organization", "internal/web", "authcore", "authcore/session", "authcore/address", "authcore/person", "authcore/event", "authcore/origin", "authcore/orgname", "authcore/keyring", "authcore/outbox", "authcore/limit", "api", "pages", "pages/screen"}, []string{caddyPath, badgerPath}, nil,
		"a dialect translates to core calls, and knows no other dialect"},
	{"examples/sender", []string{"authcore/oauth", "authcore/outbox", "authcore/rfc5322"}, []string{badgerPath}, nil,
		"what a build of somebody else's may have: a sender needs no room but those for senders"},
	{"examples", []string{}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"files for people to copy"},
	{"caddymodule/gate/forward", []string{"internal/web", "authcore/origin"}, []string{caddyPath, badgerPath}, nil,
		"how other proxies ask; it knows no gate, and believes what it reads"},
	{"caddymodule/gate/header", []string{}, []string{caddyPath, badgerPath}, nil,
		"what headers say; it knows no gate and no session"},
	{"caddymodule/gate", []string{"authcore/apps", "caddymodule/gate/forward", "caddymodule/gate/header", "internal/web", "authcore", "authcore/session", "authcore/address", "authcore/event", "authcore/origin", "authcore/policy", "api", "oidc", "pages", "pages/screen"}, []string{caddyPath, badgerPath}, nil,
		"a request before an app is the same behind every net/http server; it holds no rule about who may pass"},
	{"caddymodule/operate", []string{"authcore/move", "authcore/apps", "authcore/delivery", "examples", "authcore", "authcore/address", "authcore/session", "authcore/person", "authcore/challenge", "authcore/event", "authcore/outbox", "authcore/origin", "authcore/policy"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"operators' questions are plain calls, for the admin API and for whoever asks otherwise"},
	{"convert/paths", []string{"authcore/origin"}, []string{caddyPath, badgerPath}, []string{"net/http"},
		"what an expression says of paths; it knows no configuration"},
	{"convert", []string{"convert/paths", "authcore/address", "authcore/origin", "authcore/policy"}, []string{caddyPath, badgerPath}, nil,
		"other programs' configurations as texts; it knows no running server"},
	{"caddymodule/operate/cli", []string{"authcore/policy", "internal/files", "convert", "authcore/move", "authcore/apps", "authcore", "authcore/session", "pages", "pages/screen", "caddymodule/operate"}, []string{caddyPath, badgerPath}, nil,
		"the commands are the same in every binary, and know the server by its admin API alone"},
	{"caddymodule/routes", []string{"authcore/origin", "internal/web", "caddymodule/gate", "caddymodule/gate/header"}, nil, nil,
		"what Caddy's routes lead to; it knows no service and no running configuration"},
	{"caddymodule/option", []string{"internal/files"}, []string{badgerPath}, []string{"net/http"},
		"how options are written; it knows none"},
	{"caddymodule/senders", []string{"caddymodule/option", "internal/files", "authcore/gmail", "authcore/graph", "authcore/maildir", "authcore/mailgun", "authcore/maillog", "authcore/oauth", "authcore/outbox", "authcore/smswebhook", "authcore/smtp", "authcore/twilio"}, []string{badgerPath}, []string{"net/http"},
		"each sender as a module of Caddy, as a build of somebody else's has its own; it knows no App"},
	{"caddymodule/metrics", []string{"authcore", "authcore/event", "authcore/policy", "authcore/store", "caddymodule/gate", "caddymodule/operate"}, []string{caddyPath, badgerPath}, nil,
		"what is counted and measured; nothing is decided by it"},
	{"caddymodule", []string{"caddymodule/metrics", "caddymodule/option", "caddymodule/senders", "caddymodule/routes", "internal/files", "internal/web", "authcore/...", "pages", "pages/screen", "oidc", "hooks", "api/...", "examples", "caddymodule/gate", "caddymodule/gate/header", "caddymodule/operate", "caddymodule/operate/cli"}, nil, nil,
		"Caddy's side wires the rooms below it and is used by none of them"},
	{"caddymodule/caddytest", []string{}, nil, nil,
		"it knows Caddy alone, so that every test with a whole Caddy can load through it"},
	{"e2e/...", []string{"authcore/...", "pages", "pages/screen", "caddymodule", "e2e/..."}, nil, nil,
		"tests across the whole"},
	{"", []string{"caddymodule"}, nil, []string{"net/http"},
		"the binary is Caddy with the module built in, and decides nothing itself"},
}

// A room holds one idea. Beyond these bounds it usually holds two: then it is
// divided, or stands in largeRooms with the reason.
const (
	mostLines = 2500 // without tests
	mostNames = 150  // exported at package level
)

// largeRooms are the exceptions, each with what it may have and why.
var largeRooms = map[string]struct {
	lines, names int
	why          string
}{
	"authcore/pgstore":   {2_680, 150, "commit, batches, lines, reads and what was lost are one contract with one database; what waits at the same moment shares statements"},
	"authcore/apps":      {3_320, 150, "people, asks and what a proof comes to are one rule: who somebody is to an app, and which strangers may not be"},
	"authcore/session":   {3_590, 150, "machine tokens, and how much each site is used, stand in the records, the cache and the one rule of browsers' sessions; so does how long what is known of one holds"},
	"caddymodule":        {6_850, 150, "the modules, options and Caddyfile of every room, and what a start checks of them"},
	"caddymodule/routes": {3_450, 150, "each question about the routes is a file, and all are asked of the same trees; requests are followed through them as Caddy would"},
	"caddymodule/gate":   {3_850, 150, "one request in one order (clean, locate, find, judge, identify, pass, cut), whose steps share what they found of it; the question of another proxy is such a request"},
	"pages":              {2_560, 150, "the steps of signing in and out, the account and the launcher share an exchange, its cookies and its refusals"},
	"pages/screen":       {2_950, 150, "every page, mail and text, in every language, proved at the start"},
}

const (
	caddyPath  = "github.com/caddyserver/caddy/..."
	badgerPath = "github.com/dgraph-io/badger/..."
)

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// TestLayers holds the arrows between the rooms: they point down only.
func TestLayers(t *testing.T) {
	for _, p := range goList(t, "./...") {
		place, ours := below(p.ImportPath)
		if !ours {
			continue
		}
		l := layerOf(place)
		if l == nil {
			t.Errorf("%s stands in no layer: say in layers_test.go what it may import, and why", p.ImportPath)
			continue
		}
		for _, breach := range l.breaches(place, p) {
			t.Errorf("%s %s\n\tbecause %s", p.ImportPath, breach, l.why)
		}
	}
}

// TestLayersCanFail shows the rules at work on packages that break them.
func TestLayersCanFail(t *testing.T) {
	for _, c := range []struct {
		place string
		p     goPackage
	}{
		{"authcore", goPackage{Imports: []string{"net/http"}}},
		{"authcore", goPackage{Imports: []string{module + "/pages"}}},
		{"authcore/smtp", goPackage{Imports: []string{module + "/authcore/badgerstore"}}},
		{"authcore/badgerstore", goPackage{Deps: []string{"github.com/caddyserver/caddy/v2"}}},
		{"pages", goPackage{Deps: []string{"github.com/caddyserver/caddy/v2/modules/caddyhttp"}}},
		{"pages", goPackage{Imports: []string{module + "/caddymodule"}}},
		{"", goPackage{Imports: []string{module + "/authcore"}}},
	} {
		if len(layerOf(c.place).breaches(c.place, c.p)) == 0 {
			t.Errorf("%q may have %+v", c.place, c.p)
		}
	}
}

// breaches says what p does that its layer must not.
func (l *layer) breaches(place string, p goPackage) []string {
	var found []string
	for _, path := range p.Imports {
		if to, ours := below(path); ours && to != place && !matches(l.own, to) {
			found = append(found, "must not import "+path)
		}
		if matches(l.direct, path) {
			found = append(found, "must not import "+path)
		}
	}
	for _, path := range p.Deps {
		if matches(l.not, path) {
			found = append(found, "must not depend on "+path+" (find the way with: go mod why "+path+")")
			break
		}
	}
	return found
}

func layerOf(place string) *layer {
	for i, l := range layers {
		if matches([]string{l.path}, place) {
			return &layers[i]
		}
	}
	return nil
}

func matches(patterns []string, path string) bool {
	for _, pattern := range patterns {
		tree, whole := strings.CutSuffix(pattern, "/...")
		if path == tree || whole && strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}

// below cuts the module's path off.
func below(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func goList(t *testing.T, pattern string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", pattern).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// TestRoomsAreNoWarehouses holds the size of packages.
func TestRoomsAreNoWarehouses(t *testing.T) {
	sizes := map[string][2]int{}
	for _, p := range goList(t, "./...") {
		place, ours := below(p.ImportPath)
		if !ours {
			continue
		}
		lines, names := size(t, filepath.Join(".", place))
		sizes[place] = [2]int{lines, names}
		most, isLarge := largeRooms[place]
		if !isLarge {
			most.lines, most.names = mostLines, mostNames
		}
		if lines > most.lines || names > most.names {
			t.Errorf("%s has %d lines and %d exported names, at most %d and %d: is it one room that should be two?",
				p.ImportPath, lines, names, most.lines, most.names)
		}
	}
	for place, most := range largeRooms {
		if s := sizes[place]; s[0] <= mostLines && s[1] <= mostNames {
			t.Errorf("%q is no exception any more (%q): it has %d lines and %d names", place, most.why, s[0], s[1])
		}
	}
}

// keeps is how a room tells which of its state is this process's own.
var keeps = regexp.MustCompile(`(?i)\bstate of (the|this) process\b|\bthis process's own\b|\bkeeps nothing\b|\b(has|keeps|and) no state\b|\bhas no code\b`)

// TestRoomsSayWhatTheyKeep: who looks for something finds each room in
// docs/architecture.md, and in its description what other nodes don't know.
func TestRoomsSayWhatTheyKeep(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	architecture := string(text)
	for _, p := range goList(t, "./...") {
		place, ours := below(p.ImportPath)
		if base := filepath.Base(place); ours && place != "" && !strings.Contains(architecture, "`"+place+"/`") && !strings.Contains(architecture, "`"+base+"/`") {
			t.Errorf("docs/architecture.md has no row of %s", place)
		}
		if !ours || place == "" || strings.HasPrefix(place, "e2e") || strings.HasPrefix(place, "examples") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(place, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			said += f.Doc.Text()
		}
		if !keeps.MatchString(strings.ReplaceAll(said, "\n", " ")) {
			t.Errorf("%s: the package's comment does not say what it keeps: write \"State of the process: …\" or \"It keeps nothing.\"", place)
		}
	}
}

// size counts the lines of a package without its tests, and what it exports.
func size(t *testing.T, dir string) (lines, names int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(text, []byte("\n"))
		f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			names += exported(d)
		}
	}
	return lines, names
}

// exported counts the names that a declaration exports at package level.
func exported(d ast.Decl) (n int) {
	count := func(id *ast.Ident) {
		if id.IsExported() {
			n++
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			count(d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				count(s.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					count(id)
				}
			}
		}
	}
	return n
}
