// Package web is what the rooms that speak HTTP share, so that pages, dialects
// and gate answer alike: whether a request comes from a page of ours
// (SameOrigin), its body (ReadBody), the headers of every answer (Guard,
// NoStore), an answer in JSON (JSON) and a redirect (SeeOther), and a
// stranger's words in a message (Quoted, IsControl).
//
// It knows net/http and what an origin is; no session, no page, no Caddy. It has
// no state.
package web
