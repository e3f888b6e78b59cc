// Package authcore is the domain of Gatehouse: who may sign in, how a person
// proves an address, and how long that proof holds. It takes values and returns
// values; it knows no HTTP, no Caddy and no database engine.
//
// The main calls, in the order in which a sign-in makes them:
//
//	Open(store, secrets)        what outlives a configuration: Core
//	Core.Use(config)            one configuration's view of it: Service
//	Flows.Begin                 limits, policy, challenge, mail queue, one transaction
//	Flows.AnswerCode            compare, count and consume, one transaction
//	Flows.Link, AnswerLink      look at a link without touching it; use it
//	Flows.Resend                the same code and link again while they live
//	Service.Sessions().Find     the hot path: a cookie's token to a live Session
//	Core.Sessions().End         end sessions at once, with their open streams
//	Service.Apps().Ask, Prove   the same for apps: codes and links without a browser
//	Service.Sessions().Assert   a signed statement about a session for an app
//
// Outcomes that are somebody's "no" are values (Verdict); an error always means
// "cannot tell" and becomes a 503. Codes and link tokens are never stored: they
// are derived from a secret that is not in the store (package keyring), so that the
// mail queue can rebuild a mail after a restart and a stolen store answers no
// challenge.
//
// State of this process, beside that of the rooms: the configurations in use, the
// meters of load, and the census, counted rarely.
package authcore
