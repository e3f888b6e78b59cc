package smtp

import (
	"context"

	"github.com/wneessen/go-mail/smtp"
)

// Tokens are access tokens to sign in with in place of a password.
type Tokens interface {
	// Token returns one that is good for now. An error is a *outbox.SendError.
	Token(ctx context.Context) (string, error)
	// Refused says that the server did not accept one.
	Refused(token string)
	// Secrets are what must not show in what a server says.
	Secrets(token string) []string
}

// xoauth2 signs in with a token, and keeps what the server says of a bad one: a
// challenge, before the answer that counts.
type xoauth2 struct {
	username, token string
	said            string
}

// initial is what goes with AUTH.
func (a *xoauth2) initial() string {
	return "user=" + a.username + "\x01auth=Bearer " + a.token + "\x01\x01"
}

// Start implements smtp.Auth.
func (a *xoauth2) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "XOAUTH2", []byte(a.initial()), nil
}

// Next implements smtp.Auth. The challenge is answered with nothing, which brings
// the refusal.
func (a *xoauth2) Next(challenge []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	a.said = string(challenge)
	return []byte{}, nil
}
