// Package smtptest is a real SMTP server on 127.0.0.1 for tests.
//
//	srv := smtptest.Start(t, smtptest.Options{})
//	… configure a sender with srv.Host, srv.Port and srv.RootCAs …
//	m := srv.NextTo(t, "alice@example.com")
//	m.Code(t) // "482913"
//	m.Link(t) // "https://app.example.com/_gatehouse/link/…"
//
// It speaks SMTP over TCP with a fresh self-signed certificate and keeps every
// message it accepts. Misbehaviour is switched on and off while it runs, one
// step of the dialogue at a time: Refuse answers with a code, Drop cuts the
// connection, Hold answers nothing until released, and Stop and Restart take
// the whole server away and bring it back at the same address.
//
// State of the process: all that a server has accepted.
package smtptest
