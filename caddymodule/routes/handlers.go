package routes

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
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
	case *fileserver.FileServer:
		return role{name: "file_server", ends: !h.PassThru, serves: true}
	case *reverseproxy.Handler:
		// With an answer that is looked at it asks another server, as
		// forward_auth does, instead of handing the request on.
		return role{name: "reverse_proxy", ends: len(h.HandleResponse) == 0, serves: true}
	case *caddyhttp.Subroute, *caddyhttp.Invoke, *intercept.Intercept:
		return role{}
	}
	if _, ok := handler.(caddy.Module); !ok {
		return role{name: "a handler", serves: true, unknown: true}
	}
	name := handlerName(handler)
	switch name {
	case "gatehouse_whoami", "gatehouse_authz":
		return role{name: name, ends: true}
	case "gatehouse", "gatehouse_clean", "gatehouse_portal", "gatehouse_pages":
		return role{}
	}
	known := slices.Contains(passingOn, name)
	return role{name: name, serves: !known, unknown: !known}
}

// asksFirst tells whether the handler is forward_auth, which asks another server
// whether a request may pass.
func asksFirst(h *reverseproxy.Handler) bool {
	return len(h.HandleResponse) > 0 && h.Rewrite != nil && h.Rewrite.Method != ""
}

// passingOn are the other handlers of Caddy and of ours that neither hand a request
// to an app nor answer all.
var passingOn = []string{
	"acme_server", "authentication", "copy_response", "copy_response_headers", "encode", "headers",
	"log_append", "map", "metrics", "push", "request_body", "rewrite", "templates", "timeouts", "tracing", "vars",
	"gatehouse_api",
}

// Neighbours names the handlers that a request for host may get to at any server,
// but for Gatehouse's own and those that serve nothing a script could be in.
func (w *Walk) Neighbours(host string) []string {
	found := map[string]bool{}
	for _, t := range w.trees {
		p := &probe{request: SampleRequest(host, "/"), rewritten: true, aside: true} // of any path
		p.meet = func(s *step, _ certainty) {
			if name := handlerName(s.handler); !strings.HasPrefix(name, "gatehouse") && !isInert(s.handler, name) {
				found[name] = true
			}
		}
		p.list(t.routes, always)
		p.list(t.errors, perhaps)
	}
	return slices.Sorted(maps.Keys(found))
}

// SharedWith is the origin that the routes of host let read its answers with the
// visitor's cookies, as it is written in a header directive; "" for none.
func (w *Walk) SharedWith(host string) (origin string) {
	credentials := false
	for _, name := range slices.Sorted(maps.Keys(w.trees)) {
		p := &probe{request: SampleRequest(host, "/"), rewritten: true, aside: true}
		p.meet = func(s *step, _ certainty) {
			set, ok := s.handler.(*headers.Handler)
			if !ok || set.Response == nil {
				return
			}
			for _, values := range [...]http.Header{set.Response.Set, set.Response.Add} {
				for field, lines := range values {
					switch value := strings.Join(lines, ", "); {
					case strings.EqualFold(field, "Access-Control-Allow-Origin") && value != "*": // which browsers take for nobody with cookies
						origin = value
					case strings.EqualFold(field, "Access-Control-Allow-Credentials"):
						credentials = true
					}
				}
			}
		}
		p.list(w.trees[name].routes, always)
	}
	if !credentials {
		return ""
	}
	return origin
}

// handlerName is the name of a handler's module, as in reverse_proxy.
func handlerName(h caddyhttp.MiddlewareHandler) string {
	if module, ok := h.(caddy.Module); ok {
		return module.CaddyModule().ID.Name()
	}
	return fmt.Sprintf("%T", h)
}

// inert are Caddy's handlers that serve nothing of their own and hand requests to
// nobody outside.
var inert = []string{
	"acme_server", "authentication", "encode", "error", "headers", "invoke", "log_append", "map", "metrics",
	"request_body", "rewrite", "subroute", "tracing", "vars",
}

// isInert tells whether no script of somebody else's comes from the handler.
func isInert(h caddyhttp.MiddlewareHandler, name string) bool {
	const markup = "<{" // or parts of the request
	switch answer := h.(type) {
	case *caddyhttp.StaticResponse:
		return !strings.ContainsAny(answer.Body, markup)
	case caddyhttp.StaticResponse: // Caddy's own redirect to https
		return !strings.ContainsAny(answer.Body, markup)
	}
	return slices.Contains(inert, name)
}
