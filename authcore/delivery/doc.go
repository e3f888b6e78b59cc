// Package delivery is how mail fares once a sender has it, and what follows from
// that for who asks for it.
//
//	book.Unlock   an operator lifts what holds mail to an address back
//
// It does not know how a mail is sent, or who reads what it tells.
//
// State of the process: none.
package delivery
