// Package stackbe is the dialect of a billing backend with sign-in by magic
// link: customers of an app, their sessions as JWTs, organizations, and what
// their plans entitle them to.
//
//	POST  /v1/apps/{appId}/auth/magic-link            send a link
//	POST  /auth/magic-link                            the same, the key says which app
//	POST  /v1/apps/{appId}/auth/verify                a link's token into a session
//	GET   /v1/apps/{appId}/auth/verify?token=         what the link in the mail opens
//	GET   /v1/apps/{appId}/auth/session               who a session belongs to
//	POST  /v1/apps/{appId}/auth/switch-organization   act for an organization
//	      /v1/customers, /v1/customers/{id}           the people of the app
//	GET   /v1/entitlements, …/check/{feature}         what they may do
//	      /v1/apps/{appId}/organizations/…            organizations, members, invites
//
// A link in a mail opens a page with a button, because programs that look at
// mails open links too. An app that puts its own URL into mails sends the
// browser here with redirect=true: then the link is used at once and the
// browser goes on to the callback, except when the request looks like a
// robot's. The button posts to the same URL.
//
// The session token is a JWT whose jti names a session of the core. Every use
// asks for that session, so that one which was ended is refused at once.
//
// State of the process: none.
package stackbe
