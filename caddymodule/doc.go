// Package caddymodule is Gatehouse in Caddy's words: it wires all other rooms, and
// none of them knows it. Importing it adds the modules to a build of Caddy.
//
//	app.go, options.go, appfile.go, …file.go   the global block, as JSON and as Caddyfile text
//	gatemodule.go, gatefile.go, cleaner.go,
//	pageshandler.go, portal.go, authz.go,
//	api.go                                     the handlers, over package gate
//	mail.go                                    ways to send (package senders)
//	pool.go, database.go, service.go, inuse.go  the life of a configuration: what is opened,
//	                                           shared with the one before, and given back
//	place.go, account.go, trusted.go           what the walk over Caddy's routes (package routes)
//	                                           finds at start: where gates stand, what leads past
//	admin.go, operated.go, commands.go         operators' calls and commands, over package operate
//	audit.go, emit.go                          observing (package metrics)
//
// It holds no rule about who may sign in (authcore), and nothing of a request but
// what only Caddy knows: the client behind trusted proxies, placeholders, matchers.
//
// State of this process: the stores and cores in use, by directory or database (pool.go), and
// the configurations in use, the newest last (inuse.go).
package caddymodule
