// Package streambird is the dialect of an authentication service for users of
// apps: magic links and one-time codes, by mail or text message, sessions that
// can be checked without a call, and the users themselves.
//
//	/v1/auth/magic_links/email/{login_or_create,invite,login_status}
//	/v1/auth/magic_links/{create,verify}
//	/v1/auth/magic_links/hosted/{app_id}      a page of ours that verifies
//	/v1/auth/otps/{email,sms}/{login_or_create,send}, /v1/auth/otps/verify
//	/v1/auth/sessions/{verify,list,delete}
//	/v1/auth/jwks/{default,app_id}
//	/v1/auth/users/…
//	/v1/auth/sdk/…, /streambird.js            for pages with a publishable key
//
// Secret keys may do everything. A publishable key stands in a page: it may ask
// for links and codes by mail, wait for a link, and use what lies below sdk,
// where the session's own token says what may be seen.
//
// A session has an opaque token, which lasts as long as the session, and a JWT
// of five minutes that needs no call to be checked. Both name a session of the
// core.
//
// State of the process: none.
package streambird
