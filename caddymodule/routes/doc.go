// Package routes walks over the routes of Caddy's http app, once at each start. It
// reads them as trees of routes, handlers and the routes inside handlers, and all
// that is asked about them is asked of these trees. The main calls, in their order:
//
//	New               reads the routes; where our handlers stand (Walk.Places)
//	Walk.Reach        whether people get to the pages of a gate
//	Walk.Blocked      gates behind something that answers every request
//	Walk.Around       what becomes of the shapes of a guarded path, /admin and /admin/
//	Walk.Beside       who hands requests on with no gate before it, uncleaned, and
//	                  where a matcher decides what a gate sees, not the gate
//	Walk.Twice        requests that arrive where a guarded one does, past the gate:
//	                  by rewrites, index pages, errors and directories
//	Walk.Limits       gates that a matcher keeps from requests
//	Walk.Opened       rewrites that make a guarded path of a public one
//	Walk.Neighbours   what else a host serves
//	Walk.SharedWith   which other site may read that
//
// What is found comes back as values: an error refuses the configuration, a
// Finding or a text is a warning. A gate is what it looks at and where it stands
// (Gate, Guarded, Place); Gate.Concerns is asked at each request.
//
// The room knows Caddy's handlers and matchers by their types, and ours by their
// names. It knows no service, no store and no running configuration, and has no
// state.
package routes
