package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// The API stands before a gate of the same site: it asks for keys of its own.
// Of the directives that are registered before the same one the first comes
// first, so this must be registered before the gate, as the names of the files
// have it.
func init() {
	httpcaddyfile.RegisterDirective("gatehouse_api", parseAPI)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_api", httpcaddyfile.Before, "forward_auth")
}

// parseAPI reads the directive. Syntax:
//
//	gatehouse_api [<matcher>] {
//	    origin <url...>
//	}
func parseAPI(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	at := h.Token()
	a := new(API)
	matcher, err := h.ExtractMatcherSet()
	if err == nil {
		h.Next() // ExtractMatcherSet rewinds to the directive
		err = noMoreArguments(h.Dispenser)
	}
	if err == nil {
		err = apiWords.Read(h.Dispenser, a)
	}
	if err == nil {
		_, err = parseOrigins(a.Origins)
	}
	if err == nil {
		_, _, err = globalOf(h)
	}
	if err != nil {
		return nil, option.At(at, err)
	}
	return []httpcaddyfile.ConfigValue{route(h, matcher, a)}, nil
}

func noMoreArguments(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return fmt.Errorf("gatehouse_api takes a matcher and a block, and no %q; write\n    gatehouse_api", d.Val())
	}
	return nil
}

var apiWords = option.Block[*API]{
	Of: "gatehouse_api",
	Words: []option.Word[*API]{
		option.List("origin https://api.example.com:8443", func(a *API) *[]string { return &a.Origins }),
	},
}
