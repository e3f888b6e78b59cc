package caddymodule

import (
	"cmp"
	_ "embed"
	"html/template"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func init() {
	caddy.RegisterModule(new(WhoAmI))
	httpcaddyfile.RegisterDirective("gatehouse_whoami", parseWhoAmI)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_whoami", httpcaddyfile.Before, "respond")
}

// WhoAmI is an app of one page, to try a gate out: it shows the identity
// headers that an app behind the gate gets, and a button to sign out.
type WhoAmI struct{}

//go:embed whoami.html
var whoAmIPage string

//go:embed whoami.css
var whoAmIStyle string

var (
	whoAmITemplate = template.Must(template.New("whoami").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(whoAmIStyle) },
	}).Parse(whoAmIPage))
	// The page may have this one style and its own forms.
	whoAmIPolicy = "default-src 'none'; style-src " + web.StyleSource(whoAmIStyle) + "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

// CaddyModule returns the Caddy module information.
func (*WhoAmI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_whoami", New: func() caddy.Module { return new(WhoAmI) }}
}

// ServeHTTP answers every request with the page.
func (*WhoAmI) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", whoAmIPolicy)
	web.NoStore(h)
	return whoAmITemplate.Execute(w, identityIn(r.Header))
}

// field is one header on the page.
type field struct{ Name, Value string }

// identityIn returns the identity headers in order.
func identityIn(h http.Header) []field {
	var fields []field
	for name, values := range h {
		if gate.ClaimOf(name) != gate.IdentityClaim {
			continue
		}
		for _, value := range values {
			fields = append(fields, field{name, value})
		}
	}
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

// parseWhoAmI reads the directive. Syntax:
//
//	gatehouse_whoami [<matcher>]
func parseWhoAmI(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseAlone(h, new(WhoAmI), nil, "gatehouse_whoami")
}
