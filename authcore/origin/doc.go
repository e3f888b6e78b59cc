// Package origin knows what places are called: an origin (scheme, host and port
// in one form), a pattern of sites, a path that is guarded or public in every
// spelling, an address to return to, and the redirects that an app allows.
//
//	o, err := origin.Parse("https://wiki.example.com")
//	r := origin.ParseReturnTo(raw, o, protects) // a path of o, or "/"
//
// Each is parsed once, at the edge, and everything after compares the parsed
// forms. In doubt a path is guarded and not public, and a return address is "/".
// It knows no requests, no policy and no store.
//
// State of the process: none.
package origin
