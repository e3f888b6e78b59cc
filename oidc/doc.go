// Package oidc is the OpenID provider: apps that speak OpenID Connect have people
// sign in at the portal, and get them back with a code.
//
//	GET       /.well-known/openid-configuration        discovery.go
//	GET       /.well-known/oauth-authorization-server  the same (RFC 8414)
//	GET       /oauth2/jwks.json     discovery.go   keys that ID tokens verify with
//	GET POST  /oauth2/authorize     authorize.go   Grants.Code
//	POST      /oauth2/consent       consent.go     Grants.Agree, Grants.Code
//	POST      /oauth2/token         token.go       Grants.Redeem, Grants.Refresh
//	GET POST  /oauth2/userinfo      userinfo.go    Grants.Read
//	POST      /oauth2/revoke        token.go       Grants.Revoke
//	POST      /oauth2/introspect    token.go       Grants.Read
//	GET POST  /oauth2/logout        logout.go      the session ends
//	          the other way         notice.go      apps are told of endings
//
// A request comes in through Handler.Serve, with what the gate knows of it. The
// surface is small: the code flow alone, PKCE with S256, no request objects, no
// registration by strangers. Nothing is sent to a redirect URI before client and
// URI are proven (request.go); what is issued stands in no log.
//
// It holds no rule about who may sign in, how long, or what a token is good for:
// that is authcore/grant's and authcore/session's. Pages and the steps of signing
// in are those of package pages. The package knows net/http and nothing of Caddy.
//
// State of the process: none. What is counted of bad calls is the core's.
package oidc
