package pages

import (
	"encoding/json"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// jwks publishes the keys that session cookies and assertions verify with. A
// new key stands there for a day before it signs, so verifiers may keep a copy
// for a while.
func jwks(e *exchange) {
	body, err := json.Marshal(e.p.service.Core().Keys().AllPublic())
	if err != nil {
		e.outage(err)
		return
	}
	web.Guard(e.w.Header(), web.Bare)
	h := e.w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*") // public, and the same for everybody
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	e.send(http.StatusOK, body)
}
