// Package forward reads what other proxies (nginx, HAProxy, Traefik, Envoy, Caddy)
// tell of the request that they ask about, on the paths and in the headers of
// Authelia and of oauth2-proxy. In their order:
//
//	DialectOf                by its path, how a proxy asks
//	Question.Read            the request that it asks about, or what is wrong with the question
//	Told.URL, Origin         its parts, in the form that a gate judges by
//	Question.Misrouted       whether the proxy routes to another site than it asks about
//
// It believes every header: whether the proxy may be believed, which sites there
// are and who may pass is the gate's to say. It has no state.
package forward
