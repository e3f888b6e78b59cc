package smtp

import (
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

// chooseAuth picks the strongest mechanism of those the server offers, a list
// separated by spaces, or nil. By now the connection is encrypted or stays on
// this machine, so the mechanisms that show the server the password are safe
// from listeners; the others come first because they do not even show it that.
// CRAM-MD5 comes last: it is the weakest and makes servers keep passwords in
// clear. The -PLUS variants are left out, as they fail behind a TLS proxy.
func chooseAuth(c *Config, offered string) smtp.Auth {
	user, password := c.Username, string(c.Password)
	unencrypted := c.TLS == Off // New allows it on localhost only
	names := strings.Fields(strings.ToUpper(offered))
	for _, mechanism := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(user, password)},
		{"PLAIN", smtp.PlainAuth("", user, password, c.Host, unencrypted)},
		{"LOGIN", smtp.LoginAuth(user, password, c.Host, unencrypted)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(user, password)},
	} {
		if slices.Contains(names, mechanism.name) {
			return mechanism.auth
		}
	}
	return nil
}
