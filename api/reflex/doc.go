// Package reflex is the dialect of a component for web apps that makes one-time
// passwords for links, and sessions.
//
//	POST /reflex/otp                make a one-time password and its link; secret key
//	POST /reflex/validate           a password to a session token
//	GET  /reflex/session            what a session token stands for
//	POST /reflex/logout             end it
//	GET  /reflex/persistent-id      a stable id for an address
//	GET, POST /magic-link-auth      the page that a link opens
//
// Three pairs tell the outcome of /reflex/otp: record and otp; record without
// otp, when the address has had too many; neither, when the address is not one
// or the client has had too many.
//
// The page asks for a press of its button before it signs anybody in: scanners
// open links too. It carries no key, so it takes the password of any app of
// this instance; a wrong one counts once. What session comes of it counts for
// that app alone, and one of test data only for who shows a test key: validate
// and session go by the key, or without one by the only app that has live keys.
//
// State of the process: none.
package reflex
