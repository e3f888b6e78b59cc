package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

// Gate puts a sign-in by email in front of whatever handles the request after
// it. A visitor without a session is led to the sign-in pages, which the gate
// serves itself under /_gatehouse/; one with a session that the gate admits
// reaches the app, which sees who it is in the request's headers.
//
// A gate that names nobody is a configuration error: it never admits everybody
// by mistake.
type Gate struct {
	// Allow lists who is admitted: addresses (alice@example.com), whole domains
	// (*@example.com), names of groups, files (file:/etc/gatehouse/people.txt)
	// or "any" for whoever proves an address.
	Allow []string `json:"allow,omitempty"`
	// Deny lists who is refused even if Allow admits them. Same forms as Allow.
	Deny []string `json:"deny,omitempty"`
	// Public lists paths that need no sign-in: exact, or a prefix ending in /*.
	// Case-sensitive, matched against the original path. The word pwa stands for
	// /manifest.json, /manifest.webmanifest, /site.webmanifest, /favicon.ico and
	// /apple-touch-icon*.png.
	Public []string `json:"public,omitempty"`
	// Prefix is a path that a proxy in front takes away from every request
	// (StripPrefix), such as /wiki. Return addresses and Public have it.
	// X-Forwarded-Prefix is never believed. Default: none.
	Prefix string `json:"prefix,omitempty"`
	// CORS lists the origins whose pages may call the app: the gate answers their
	// preflight requests itself, and its refusals can be read by their scripts.
	// Default: preflight requests are refused.
	CORS []string `json:"cors,omitempty"`
	// ClientIP lists the networks (CIDR) that the client must also come from.
	ClientIP []string `json:"client_ip,omitempty"`
	// Trust lists networks whose clients need no sign-in. Default: none.
	Trust []Trust `json:"trust,omitempty"`
	// Fresh is how long ago a person may have signed in, at most. Default: no
	// limit but the session's.
	Fresh caddy.Duration `json:"fresh,omitempty"`
	// Unauthenticated is what a visitor without a session gets: "auto" (a
	// redirect for page views, 401 for the rest), "redirect" or "401".
	// Default: auto.
	Unauthenticated string `json:"unauthenticated,omitempty"`
	// Headers lists the presets of identity headers for the app: remote,
	// forwarded, auth_request, cloudflare, assertion, none. Default: remote.
	Headers []string `json:"headers,omitempty"`
	// Fields lists identity headers of any name, beside the presets. What clients
	// send under these names is removed, as it is for the presets.
	Fields []gate.Field `json:"fields,omitempty"`
	// Name is what the site is called on pages, in mails and at a portal, beside
	// its host: at most 64 characters. Default: the name of the brand, or else the
	// host.
	Name string `json:"name,omitempty"`
	// Icon is the file of a picture that a portal shows the site with: PNG or ICO, at
	// most 256 KiB and 1024 by 1024 pixels. Default: the first letter of the name.
	Icon string `json:"icon,omitempty"`
	// IconDigest is written by the Caddyfile's adapter, so that a reload takes up
	// another picture in the same file.
	IconDigest string `json:"icon_digest,omitempty"`
	// SessionIdle and SessionMax limit sessions at this site; never longer than
	// the limits of the gatehouse app.
	SessionIdle caddy.Duration `json:"session_idle,omitempty"`
	SessionMax  caddy.Duration `json:"session_max,omitempty"`
	// Basic offers programs that are no browser and have no session to send a token
	// as the password of Basic, with any user name. Default: it is taken, and not
	// offered.
	Basic *bool `json:"basic,omitempty"`
	// Keep lists headers that pass from trusted proxies although they say that a
	// request is for another path than it is, for example X-Forwarded-Prefix for an
	// app under a base path. Only for what such a proxy sets on every request: it
	// hands on what its clients say of the others. Default: none passes, whoever
	// sent it.
	Keep []string `json:"keep,omitempty"`
	// ReportOnly stops nobody and logs who would have been.
	ReportOnly bool `json:"report_only,omitempty"`
	// Origins lists where the gate stands beside what the host matchers above
	// it say, for example https://app.example.com:8443.
	Origins []string `json:"origins,omitempty"`
	// MatcherSetsRaw limits the gate to requests that one of these sets of
	// matchers takes, as on a route. All others pass without identity headers of
	// their own and without Gatehouse's cookies. Default: all.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Paths limits the gate to requests whose original or current path matches
	// one of these. /admin, /admin/ and /admin/* each guard /admin and all below
	// it, however it is spelled; any other pattern means what it means to Caddy's
	// path matcher. Default: all.
	Paths []string `json:"paths,omitempty"`
	// Portal is where people sign in for this site, instead of here, for
	// example https://auth.example.com: a gatehouse_portal with the same store.
	// Default: the site itself.
	Portal string `json:"portal,omitempty"`

	app    *App
	gate   gate.Gate         // what decides
	portal origin.Origin     // Portal, parsed
	asked  *gate.ForwardAuth // of a site behind another proxy: who asks it
	icon   string            // path of the picture, as pages have it; set by start
	guard  routes.Gate       // what it looks at; where it stands is set when the app starts
}

// stand puts the gate where it stands.
func (g *Gate) stand(here, pages *routes.Place) {
	g.guard.Place, g.guard.Pages = here, pages
	g.gate.Place, g.gate.Pages = &here.Place, &pages.Place
}

// at tells whether the gate is asked about o: of sites behind other proxies the most
// specific is, and of those here the one that Caddy leads requests for o to.
func (g *Gate) at(o origin.Origin) bool {
	if !g.guard.Place.Behind {
		return g.app.walk.At(&g.guard, o)
	}
	site := g.asked.Site(o)
	return site != nil && site.Gate == &g.gate
}

// WalkedAs is the gate as the walk over the routes sees it.
func (g *Gate) WalkedAs() *routes.Gate { return &g.guard }

// String names the gate for messages, without naming people.
func (g *Gate) String() string { return g.guard.String() }

// PagesHandler serves Gatehouse's own pages and nothing else: requests for
// other paths pass on. It stands where a gate inside handle or route can't be
// reached by the pages' paths, and, with Clean, where something before the gate
// answers these: then it is gatehouse_first in a Caddyfile.
type PagesHandler struct {
	// Clean has all other requests pass as through gatehouse_clean. Default: they
	// pass as they came.
	Clean bool `json:"clean,omitempty"`
	// Keep is as in a gate, with Clean.
	Keep []string `json:"keep,omitempty"`

	pages gate.Pages // its place is set when the app starts
}
