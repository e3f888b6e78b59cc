package smtp

import "testing"

// Amazon SES says the first part of the Message-ID, and the region is the rest.
func TestMessageIDOfSES(t *testing.T) {
	const first = "0102018f2b3c4d5e-1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d-000000"
	for _, c := range []struct{ host, says, want string }{
		{"email-smtp.eu-west-1.amazonaws.com", "Ok " + first, first + "@eu-west-1.amazonses.com"},
		{"email-smtp-fips.us-west-2.amazonaws.com", "2.0.0 Ok " + first + "\r\n", first + "@us-west-2.amazonses.com"},
		{"email-smtp.us-east-1.amazonaws.com", "Ok " + first, first + "@email.amazonses.com"},
		{"relay.example.com", "Ok " + first, first + "@email.amazonses.com"},
		{"email-smtp.eu-west-1.amazonaws.com", "Ok", ""},
		{"email-smtp.eu-west-1.amazonaws.com", "Ok " + first + "@evil.example", ""},
		{"relay.example.com", "Ok: queued as 4FzK3x", ""},
	} {
		d := &dialogue{Sender: &Sender{config: &Config{Host: c.host}}}
		if got := d.renamed(c.says); got != c.want {
			t.Errorf("%s says %q: got %q, want %q", c.host, c.says, got, c.want)
		}
	}
}
