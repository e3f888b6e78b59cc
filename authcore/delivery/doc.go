// Package delivery is how mail fares once a sender has it, and what follows from
// that for who asks for it.
//
//	book.Take       what a mail system says of a mail of ours: a bounce holds mail to
//	                that address from unknown browsers for a week
//	book.Hear       what the outbox and sign-ins report
//	book.Delay      what a domain's mail usually takes: codes live so much longer
//	book.Domains    how mail fares, by the domain of the recipient, for operators
//	book.Problems   what came back from one address; Forget takes it away
//	book.Unlock     an operator lifts what holds mail to an address back
//
// It does not know how a mail is sent, who reports, or who reads what it tells.
//
// State of the process: the figures of domains, read from the store at the start
// and written to it every minute, when those of other nodes are read; and when the
// mails of the last half an hour were taken. A sign-in brings that along where another
// node sent the mail.
package delivery
