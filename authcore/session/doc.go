// Package session is what a verified person, or a program, holds: from the proof
// to its end. Core is what outlives a configuration, View what one says of it.
//
//	core := session.New(config)
//	err := core.Load(ctx)
//	view := core.Use(terms)
//	began, err := view.Begin(tx, proof)      // in the transaction of the answer
//	core.Begun(ctx, began)                   // once that is stored
//	found, err := view.Find(ctx, tokens, at) // the hot path: cookie, cache, record
//	judged := view.Judge(rule, visitor, target)
//	core.Watch(stream)                       // an answer under way, to be cut
//	ended, err := core.End(ctx, sid, reason)
//
// Whether a session is over is decided in one place (over.go), of which every
// kind is a value: browsers, sites of a portal, machine tokens made and
// configured, apps. What a site asks beside that is one SiteRule.
//
// It knows no HTTP and no mail, not how a person proves who they are, and of apps
// only what decides whether their sessions are over.
//
// State of the process: the cache with the last use of each session, written once
// a minute; the streams under way; when all sessions were ended last. What ends
// on another node is heard of within two seconds (HasEnded), and seen when a record is
// read again, within half a minute.
package session
