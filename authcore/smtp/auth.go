package smtp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

// mechanisms are the ways to sign in with a password, the strongest first. By
// the time of a sign-in the connection is encrypted or stays on this machine, so
// those that show the server the password are safe from listeners; the others
// come first because they do not even show it that. CRAM-MD5 comes last: it is
// the weakest and makes servers keep passwords in clear. The -PLUS variants are
// left out, as they fail behind a TLS proxy.
var mechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"}

const xoauth2Name = "XOAUTH2"

// mechanism makes the sign-in called name.
func (c *Config) mechanism(name string) smtp.Auth {
	user, password := c.Username, string(c.Password)
	unencrypted := c.TLS == Off // New allows it on localhost only
	switch name {
	case "SCRAM-SHA-256":
		return smtp.ScramSHA256Auth(user, password)
	case "SCRAM-SHA-1":
		return smtp.ScramSHA1Auth(user, password)
	case "PLAIN":
		return smtp.PlainAuth("", user, password, c.Host, unencrypted)
	case "LOGIN":
		return smtp.LoginAuth(user, password, c.Host, unencrypted)
	}
	return smtp.CRAMMD5Auth(user, password)
}

// choose picks the mechanism of the next sign-in from what the server offers:
// the one that worked last, else the strongest; none of refused.
func (s *Sender) choose(offered, refused []string) (name string, ok bool) {
	possible := mechanisms
	if s.config.Auth != "" {
		possible = []string{s.config.Auth}
	}
	if worked := s.worked.Load(); worked != nil {
		possible = append([]string{*worked}, possible...)
	}
	for _, name := range possible {
		if slices.Contains(offered, name) && !slices.Contains(refused, name) {
			return name, true
		}
	}
	return "", false
}

// tryNext tells whether a refusal may be about the mechanism: a server may offer
// SCRAM and have no keys for it, or offer what it does not speak (504). A
// password that PLAIN or LOGIN showed is wrong by any other too, and each
// further try counts towards a lock.
func tryNext(refused string, code int) bool {
	return code >= 500 && (code == 504 || strings.HasPrefix(refused, "SCRAM-"))
}

// noMechanism words that nothing of what the server offers can be used.
type noMechanism struct{ offered, spoken []string }

func (e *noMechanism) Error() string {
	offers := "no sign-in at all on this connection"
	if len(e.offered) > 0 {
		offers = "the sign-ins " + strings.Join(e.offered, ", ")
	}
	return fmt.Sprintf("the server offers %s; this sender speaks %s", offers, strings.Join(e.spoken, ", "))
}
