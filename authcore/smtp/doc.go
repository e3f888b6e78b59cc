// Package smtp sends mail through a relay: the operator's own mail server or a
// provider's submission service (RFC 5321, RFC 6409).
//
//	sender, err := smtp.New(smtp.Config{Host: "smtp.example.com", Port: 587, …})
//	err = sender.Send(ctx, message)
//
// Each message is one dialogue with one overall time limit:
//
//	connect → EHLO → STARTTLS → AUTH → MAIL FROM → RCPT TO → DATA → … → QUIT
//
// A burst of messages shares a few connections (pool.go): each is kept for a
// moment after a message, and one message more begins at MAIL FROM. A server
// that turns a further connection away has fewer from then on.
//
// A refused sign-in that another mechanism may mend is tried again with that
// one, on a new connection.
//
// The dialogue is written out here, on the protocol client of go-mail, because
// what an answer means depends on the step it came at (see fault in
// classify.go), and because the connection must be closed whatever step fails.
//
// Encryption is required unless the configuration says otherwise: a server,
// or somebody in between, that does not offer STARTTLS gets no mail and no
// password. A password is never sent in clear except to localhost.
//
// State of the process: the connections that wait for one more message, and with
// which mechanism a relay let us in last.
package smtp
