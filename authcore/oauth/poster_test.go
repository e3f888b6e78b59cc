package oauth_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
)

// What is wrong with a mailbox is said before there is any request, by the name of
// the line that it stands on.
func TestPosterNamesWhatIsWrong(t *testing.T) {
	for want, box := range map[string]oauth.Mailbox{
		"user":   {User: "login"},
		"tokens": {User: "login@example.com"},
		"https":  {User: "login@example.com", BaseURL: "http://api.example.com"},
	} {
		if _, err := box.Poster("graph", "https://api.example.com", "sendMail"); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "mail graph: ") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
