package pages

import (
	"testing"
)

func TestSignInByCode(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/login?return_to=/docs?a=1")
	b.wants(200, `value="/docs?a=1"`, "<h1>Sign in</h1>")
	m := b.start("alice@example.com", "return_to", "/docs?a=1")

	b.get("/_gatehouse/code")
	b.wants(200, "alice@example.com")

	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/docs?a=1")
	b.get("/_gatehouse/session")
	b.wants(200, `"email":"alice@example.com"`)

}
