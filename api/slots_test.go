package api_test

import (
	"net/url"
	"testing"
)

// A link counts in its own dialect only: pressed on another's page or shown in
// another's call it is unknown, and stays as it is.
func TestLinksOfAnotherDialect(t *testing.T) {
	w := newContacts(t)
	w.ok("POST", "/auth/magic-link", object{"email": sentTo, "redirectUrl": "https://app.example.com/in"})
	u, err := url.Parse(w.LastMail().Link)
	if err != nil {
		t.Fatal(err)
	}
	stackbes := u.Query().Get("token")
	streambirds := w.ok("POST", "/v1/auth/magic_links/create", object{"email": sentTo}).String("token")

	// Without a key: the page, and its button.
	for _, method := range []string{"GET", "POST"} {
		var body any
		if method == "POST" {
			body = url.Values{}
		}
		a := w.Do(method, "/v1/apps/shop/auth/verify?token="+streambirds, body, "Accept", "text/html", "User-Agent", "Mozilla/5.0 Firefox/140.0", "Sec-Fetch-Site", "same-origin")
		if to, _ := url.Parse(a.Header.Get("Location")); a.Status < 400 && to.Query().Get("error") == "" {
			t.Errorf("%s: %d %s %s", method, a.Status, to, a.Text)
		}
	}
	if a := w.key("POST", "/v1/apps/shop/auth/verify", object{"token": streambirds}); a.Status != 401 {
		t.Errorf("Streambird's in StackBE: %d %s", a.Status, a.Text)
	}
	if a := w.key("POST", "/v1/auth/magic_links/verify", object{"token": stackbes}); a.Status < 400 {
		t.Errorf("StackBE's in Streambird: %d %s", a.Status, a.Text)
	}
	w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": stackbes})
	w.ok("POST", "/v1/auth/magic_links/verify", object{"token": streambirds})
}
