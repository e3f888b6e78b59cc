package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// role is what a handler by itself does with the requests that reach it, whatever
// routes there are in it.
type role struct {
	name    string // as it is written in a Caddyfile
	ends    bool   // it answers all of them: none goes on to what stands behind it
	serves  bool   // it answers with what stands at the path, a file or an app
	unknown bool   // it may hand them to an app: it is not one that we know
}

// roleOf is all that is said about the handlers of Caddy and ours by their kind.
func roleOf(handler caddyhttp.MiddlewareHandler) role {
	if value, ok := handler.(caddyhttp.StaticResponse); ok { // of Caddy's own redirects to https
		handler = &value
	}
	switch h := handler.(type) {
	case *caddyhttp.StaticResponse:
		switch {
		case h.Abort:
			return role{name: "abort", ends: true}
		case h.Headers.Get("Location") != "":
			return role{name: "redir", ends: true}
		}
		return role{name: "respond", ends: true}
	case *caddyhttp.StaticError:
		return role{name: "error", ends: true}
	case *WhoAmI:
		return role{name: "gatehouse_whoami", ends: true}
	case *Authz:
		return role{name: "gatehouse_authz", ends: true}
	case *fileserver.FileServer:
		return role{name: "file_server", ends: !h.PassThru, serves: true}
	case *reverseproxy.Handler:
		// With an answer that is looked at it asks another server, as
		// forward_auth does, instead of handing the request on.
		return role{name: "reverse_proxy", ends: len(h.HandleResponse) == 0, serves: true}
	case *caddyhttp.Subroute, *caddyhttp.Invoke, *intercept.Intercept, *Gate, *Cleaner, *Portal, *PagesHandler:
		return role{}
	}
	module, ok := handler.(caddy.Module)
	if !ok {
		return role{name: "a handler", serves: true, unknown: true}
	}
	name := module.CaddyModule().ID.Name()
	known := slices.Contains(passingOn, name)
	return role{name: name, serves: !known, unknown: !known}
}

// passingOn are the other handlers of Caddy and of ours that neither hand a request
// to an app nor answer all.
var passingOn = []string{
	"acme_server", "authentication", "copy_response", "copy_response_headers", "encode", "headers",
	"log_append", "map", "metrics", "push", "request_body", "rewrite", "templates", "timeouts", "tracing", "vars",
	"gatehouse_api",
}
