// Package api serves sign-in as JSON, in the wire formats of systems whose
// clients need nothing but a new base URL. Each format is a dialect, a small
// package of its own that translates to calls of authcore and back; it holds no
// rule about who may sign in, how often or how long.
//
//	api/link       a code to a known address, checked with a client_secret
//	api/reflex     one-time passwords in links, and sessions of 64 hex digits
//	api/stackbe    magic links, session JWTs, organizations, entitlements
//	api/streambird magic links, one-time codes, users and sessions
//
// What they share is here:
//
//	Handler   asks each dialect in turn whether a path is its own
//	Router    finds the route of a path, answers 405, and turns what a route
//	          returns into an answer in the dialect's own shape
//	Call      one request: its key, its limits, its body read strictly
//	Document  the OpenAPI 3.1 description of a dialect
//
// A route returns nil when it has answered, a *Refusal for a "no" and any other
// error when it cannot tell, which becomes a 503 without details.
//
// State of the process: none. What a call was about is the core's to keep.
package api
