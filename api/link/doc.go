// Package link is the dialect of a network of known consumers: look an address
// up, have a code sent to it, check the code. It makes no session; the caller
// brings its own.
//
//	GET, POST /api/lookup-email, /lookup      is the address known? a client_secret
//	POST /api/start_verification              send the code
//	POST /api/authenticate                    check it
//
// An address is known when somebody has signed in with it at a gate of this
// instance, or when the app has made a person with it. With a test key only the
// app's own test data counts. Whoever is not known is to be invited to sign up,
// on the app's own pages or at a gate.
//
// A client_secret is sealed, not stored: it says for which app and address it
// was made, is good for an hour, and nothing else opens it. The code goes out
// as a text message to who has a number, if this instance sends any, else by
// mail.
//
// State of the process: none.
package link
