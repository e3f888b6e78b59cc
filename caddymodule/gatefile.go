package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// The gate stands before forward_auth and so after everything that is anchored
// at basic_auth: rate limiters and firewalls run first.
func init() {
	httpcaddyfile.RegisterDirective("gatehouse", parseGate)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse", httpcaddyfile.Before, "forward_auth")
	httpcaddyfile.RegisterDirective("gatehouse_clean", parseClean)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_clean", httpcaddyfile.Before, "forward_auth")
	httpcaddyfile.RegisterDirective("gatehouse_pages", parsePages)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_pages", httpcaddyfile.Before, "forward_auth")
	httpcaddyfile.RegisterDirective("gatehouse_first", parseFirst)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_first", httpcaddyfile.Before, "redir")
}

// parseGate reads the directive. Syntax:
//
//	gatehouse [<matcher>] <who...> {
//	    deny             <who...>
//	    public           <path...>|pwa
//	    prefix           <path>
//	    cors             <origin...>
//	    client_ip        <cidr...>
//	    trust            <cidr...> [as <address>]
//	    fresh            <duration>
//	    unauthenticated  auto|redirect|401
//	    basic            on|off
//	    headers          <preset...>
//	    header           <Name> email|local|name|groups|sub
//	    name             "<title>"
//	    icon             <file>
//	    keep             <header...>
//	    session          idle <duration> max <duration>
//	    report_only
//	    origin           <url...>
//	    portal           <url>
//	}
//
// A matcher becomes a part of the gate: the gate then sees every request, so
// that its pages are reached and requests beside it are cleaned, too.
func parseGate(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	at := h.Token()
	g := new(Gate)
	err := g.readWho(h)
	if err == nil {
		err = gateWords.Read(h.Dispenser, g)
	}
	if err == nil {
		err = g.checkWithin(h)
	}
	if err != nil {
		return nil, option.At(at, err)
	}
	return []httpcaddyfile.ConfigValue{route(h, nil, g)}, nil
}

// route is one route with one handler.
func route(h httpcaddyfile.Helper, matcher caddy.ModuleMap, handler caddy.Module) httpcaddyfile.ConfigValue {
	raw, _ := json.Marshal(handler)
	var object map[string]any
	_ = json.Unmarshal(raw, &object)
	object["handler"] = handler.CaddyModule().ID.Name()
	r := caddyhttp.Route{HandlersRaw: []json.RawMessage{h.JSON(object)}}
	if matcher != nil {
		r.MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
	}
	if h.IsNamedRoute() {
		// Caddy 2.11 merges the routes of a named route that have no matcher,
		// and if one is left, keeps only its first handler: behind a header
		// directive the gate would be lost. A group of its own keeps it apart.
		n, _ := h.State["gatehouse_group"].(int)
		h.State["gatehouse_group"] = n + 1
		r.Group = fmt.Sprintf("gatehouse%d", n)
	}
	return httpcaddyfile.ConfigValue{Class: "route", Value: r}
}

// readWho reads the line of the directive itself.
func (g *Gate) readWho(h httpcaddyfile.Helper) error {
	if h.CountRemainingArgs() == 0 {
		_, err := policy.ParseWhoList(nil)
		return err
	}
	matcher, isMatcher, err := h.MatcherToken()
	first := h.Val()
	if err != nil {
		return noMatcher(first)
	}
	rest := h.RemainingArgs()
	if !isMatcher {
		g.Allow = append([]string{first}, rest...)
		_, err := parseWho("gatehouse", g.Allow)
		return err
	}
	if len(rest) == 0 {
		return onlyMatcher(first)
	}
	switch {
	case strings.HasPrefix(first, "/"):
		g.Paths = []string{first}
	case matcher != nil:
		g.MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
	}
	g.Allow = rest
	_, err = parseWho("gatehouse", rest)
	return err
}

// noMatcher explains an @name that no matcher has: it was often meant to be a
// group or a domain.
func noMatcher(name string) error {
	_, err := policy.ParseWho(name)
	var who *policy.WhoError
	if errors.As(err, &who) {
		who.Problem = "this site has no matcher of that name; " + who.Problem
	}
	return err
}

// onlyMatcher explains that the only argument was read as a matcher.
func onlyMatcher(first string) error {
	e := &policy.WhoError{
		Entry:   first,
		Problem: "as the first argument this says for which requests, and nobody is named after it",
		Try:     [2]string{first + " *@example.com", first + " any"},
	}
	switch {
	case first == "*":
		e.Try = [2]string{"*@example.com", "any"}
	case first == "/":
		e.Try = [2]string{"*@example.com", "/* *@example.com"}
	case strings.HasPrefix(first, "/") && !strings.Contains(first, "*"):
		e.Try = [2]string{"file:" + first, first + " *@example.com"}
	case strings.HasPrefix(first, "@"):
		e.Try[1] = strings.TrimPrefix(first, "@")
	}
	return e
}

var gateWords = option.Block[*Gate]{
	Of: "gatehouse",
	Words: []option.Word[*Gate]{
		option.Line("deny", (*Gate).readDeny),
		option.List("public /images/*", func(g *Gate) *[]string { return &g.Public }, good(func(paths []string) (origin.PublicPaths, error) { return origin.ParsePublicBelow("", paths) })),
		option.Text("prefix /wiki", func(g *Gate) *string { return &g.Prefix }, func(g *Gate) error { return checkPrefix(g.Prefix) }),
		option.List("cors https://board.example.com", func(g *Gate) *[]string { return &g.CORS }, good(parseCORS)),
		option.List("client_ip 10.0.0.0/8", func(g *Gate) *[]string { return &g.ClientIP }, good(parseCIDRs)),
		option.Line("trust", (*Gate).readTrust),
		option.Line("fresh", (*Gate).readFresh),
		option.Text("unauthenticated redirect", func(g *Gate) *string { return &g.Unauthenticated }, func(g *Gate) error { return checkUnauthenticated(g.Unauthenticated) }),
		option.OnOff("basic", func(g *Gate) **bool { return &g.Basic }),
		option.Line("headers", (*Gate).readHeaders),
		option.Line("header", (*Gate).readField),
		option.Text(`name "Team wiki"`, func(g *Gate) *string { return &g.Name }, func(g *Gate) error { return checkTitle(g.Name) }),
		option.Text("icon /etc/gatehouse/wiki.png", func(g *Gate) *string { return &g.Icon }, (*Gate).digestIcon),
		option.Line("session", func(g *Gate, d *caddyfile.Dispenser) error {
			return idleAndMax(d, &g.SessionIdle, &g.SessionMax)
		}),
		option.List("keep X-Forwarded-Prefix", func(g *Gate) *[]string { return &g.Keep }, header.CheckKept),
		option.Line("report_only", (*Gate).readReportOnly),
		option.List("origin https://app.example.com:8443", func(g *Gate) *[]string { return &g.Origins }, good(parseOrigins)),
		option.Text("portal https://auth.example.com", func(g *Gate) *string { return &g.Portal }, (*Gate).checkPortal),
	},
}

func (g *Gate) readDeny(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	g.Deny = append(g.Deny, args...)
	_, err := parseWho("deny", args)
	return err
}

func (g *Gate) readFresh(d *caddyfile.Dispenser) error {
	if err := option.Once("fresh", g.Fresh != 0); err != nil {
		return err
	}
	args, err := option.Arguments(d, 1, 2, "fresh 4h")
	if err != nil {
		return err
	}
	if len(args) == 2 {
		return fmt.Errorf("fresh: %q after the duration is not available in this version of Gatehouse; write\n    fresh %s", args[1], args[0])
	}
	g.Fresh, err = option.Duration("fresh", args[0])
	return err
}

func (g *Gate) readHeaders(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, option.Many, "headers remote")
	if err != nil {
		return err
	}
	g.Headers = append(g.Headers, args...)
	return checkPresets(g.Headers)
}

func (g *Gate) readField(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 2, 2, "header X-WEBAUTH-USER email")
	if err != nil {
		return err
	}
	g.Fields = append(g.Fields, gate.Field{Name: args[0], Value: args[1]})
	return gate.CheckFields(g.Fields)
}

func (g *Gate) checkPortal() error {
	_, err := parseOriginOption("portal", "portal", g.Portal)
	return err
}

// good is what is wrong with arguments, if parse finds something.
func good[T any](parse func([]string) (T, error)) func([]string) error {
	return func(args []string) error {
		_, err := parse(args)
		return err
	}
}

func (g *Gate) readReportOnly(d *caddyfile.Dispenser) error {
	if err := option.Once("report_only", g.ReportOnly); err != nil {
		return err
	}
	g.ReportOnly = true
	_, err := option.Arguments(d, 0, 0, "report_only")
	return err
}

// checkWithin checks the gate together with the global option, which Caddy has
// read before any site.
func (g *Gate) checkWithin(h httpcaddyfile.Helper) error {
	app, groups, err := globalOf(h)
	if err != nil {
		return err
	}
	if err := g.parse(groups); err != nil {
		return err
	}
	return g.checkOptions(app.sessionRule())
}

// globalOf returns the global option and its groups.
func globalOf(h httpcaddyfile.Helper) (*App, *policy.Groups, error) {
	option, ok := h.Option("gatehouse").(httpcaddyfile.App)
	if !ok {
		return nil, nil, errors.New("the global options say nothing about gatehouse; write at the top of the Caddyfile for example\n    {\n        gatehouse {\n            mail log\n        }\n    }")
	}
	app := new(App)
	if err := caddy.StrictUnmarshalJSON(option.Value, app); err != nil {
		return nil, nil, err
	}
	if err := app.checkMail(); err != nil {
		return nil, nil, err
	}
	named, err := app.parseGroups()
	if err != nil {
		return nil, nil, err
	}
	groups, err := newGroups(named, policy.NewLists(nil))
	return app, groups, err
}

// parsePages reads the directive. Syntax:
//
//	gatehouse_pages [<matcher>]
func parsePages(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseAlone(h, new(PagesHandler), nil, "handle /_gatehouse/* {\n        gatehouse_pages\n    }")
}

// parseFirst reads the directive, which stands before redir, rewrite and try_files.
// Syntax:
//
//	gatehouse_first [<matcher>] {
//	    keep <header...>
//	}
func parseFirst(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	p := &PagesHandler{Clean: true}
	return parseAlone(h, p, &p.Keep, "gatehouse_first")
}

// parseClean reads the directive. Syntax:
//
//	gatehouse_clean [<matcher>] {
//	    keep <header...>
//	}
func parseClean(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	c := new(Cleaner)
	return parseAlone(h, c, &c.Keep, "gatehouse_clean\n    reverse_proxy localhost:3000")
}

// parseAlone reads a directive that takes a matcher and nothing else, or a block
// that says what to keep.
func parseAlone(h httpcaddyfile.Helper, handler caddy.Module, keep *[]string, try string) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	at := h.Token()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, option.At(at, err)
	}
	h.Next()
	if h.NextArg() || keep == nil && h.NextBlock(0) {
		return nil, option.At(at, fmt.Errorf("%s takes nothing after it; write\n    %s", at.Text, try))
	}
	lines := option.Block[*[]string]{Of: at.Text, Words: []option.Word[*[]string]{option.List("keep X-Forwarded-Prefix", func(into *[]string) *[]string { return into }, header.CheckKept)}}
	if err := lines.Read(h.Dispenser, keep); err != nil {
		return nil, option.At(at, err)
	}
	return []httpcaddyfile.ConfigValue{route(h, matcher, handler)}, nil
}
