// Package pages is the browser's side of Gatehouse: the steps of signing in and
// out, the account, and the cookies that tie them together. What they look like
// is package screen's.
//
// It holds no rule about who may sign in, how often or for how long: every
// step translates a request into one call of package authcore and its outcome
// into a page.
//
//	GET  /_gatehouse/login          login.go     the form for an address
//	POST /_gatehouse/login          login.go     Flows.Begin
//	GET  /_gatehouse/code           code.go      Flows.Flow
//	POST /_gatehouse/code           code.go      Flows.AnswerCode
//	POST /_gatehouse/resend         resend.go    Flows.Resend
//	GET  /_gatehouse/link/{token}   link.go      Flows.Link, changes nothing
//	POST /_gatehouse/link/{token}   link.go      Flows.AnswerLink
//	GET  /_gatehouse/not-me/{token} notme.go     asks for the address
//	POST /_gatehouse/not-me/{token} notme.go     Flows.NotMe
//	GET  /_gatehouse/logout         logout.go    asks
//	POST /_gatehouse/logout         logout.go    session.Core.End
//	GET  /_gatehouse/account        account.go   sessions and recent sign-ins
//	POST /_gatehouse/account/…      account.go   end them, rename, export, delete
//	GET  /_gatehouse/session        session.go   who am I, as JSON
//	GET  /_gatehouse/jwks.json      jwks.go      public keys
//	pages behind links of apps      hosted.go    shown by package api
//
// A request comes in through Pages.ServeHTTP (router.go), with what the gate
// knows of it in a Visit. Each step ends in one answer (answer.go): a page of
// package screen in the language of the visitor, or a redirect. Problem shows
// the gate's own refusals in the same clothes.
//
// Every page works without JavaScript. The package knows net/http and nothing
// of Caddy.
//
// State of the process: none; nothing is kept between requests.
package pages
