// Package hooks hears what mail systems tell of mails that they took: delivered,
// put off, come back, called spam.
//
//	POST /_gatehouse/hooks/mailgun   mailgun.go   Mailgun's webhooks
//
// A report is signed by who sends it, and so follows no rule against other sites;
// it is less than five minutes old, counts once, and is about a mail of ours to the
// recipient that it names. What follows from it is package delivery's.
//
// State of the process: when it last complained of a signature.
package hooks
