package caddymodule

import (
	"cmp"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
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

// whoAmI is the page and its policy: it may have its style, which is that of the
// sign-in pages and a table, and its own forms.
var whoAmI = sync.OnceValues(func() (page *template.Template, policy string) {
	look, err := screen.PlainLook()
	if err != nil {
		panic(err) // it comes with Gatehouse
	}
	style := look.Style() + whoAmIStyle
	page = template.Must(template.New("whoami").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(style) },
	}).Parse(whoAmIPage))
	return page, "default-src 'none'; style-src " + web.StyleSource(style) + "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
})

// CaddyModule returns the Caddy module information.
func (*WhoAmI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_whoami", New: func() caddy.Module { return new(WhoAmI) }}
}

// ServeHTTP answers every request with the page.
func (*WhoAmI) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	page, policy := whoAmI()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	web.NoStore(h)
	return page.Execute(w, identityIn(r.Header))
}

// field is one header on the page.
type field struct{ Name, Value string }

// identityIn returns the identity headers in order.
func identityIn(h http.Header) []field {
	var fields []field
	for name, values := range h {
		if header.ClaimOf(name) != header.IdentityClaim {
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
