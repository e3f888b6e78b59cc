// Package header is what the headers of a request say, and what of that a client may.
//
//	header.ClaimOf(name)        // what only we, or proxies, may say
//	header.CleanConnection(h)   // what is for this hop alone
//	header.CleanUpgrade(r)      // a WebSocket, or a plain request
//	header.IsSpokenFor(name)    // then no header of this name says who somebody is
//
// It knows no gate and no session, and has no state.
package header
