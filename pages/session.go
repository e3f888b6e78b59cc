package pages

import (
	"github.com/gatehouse-auth/gatehouse/pages/screen"
	"net/http"
)

// whoAmI is what /_gatehouse/session tells an app's own page about its visitor.
type whoAmI struct {
	Subject  string   `json:"sub"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Groups   []string `json:"groups"`
	Session  string   `json:"sid"`
	AMR      []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`  // seconds since 1970, as in a JWT
	Expires  int64    `json:"expires_at"` // the same
}

// loginRequired is the answer to a script without a session.
type loginRequired struct {
	Error    string `json:"error"`
	LoginURL string `json:"login_url"`
}

// tellSession tells who is signed in. Only pages of this very origin get an
// answer, and never with CORS headers.
func tellSession(e *exchange) {
	if site := e.r.Header["Sec-Fetch-Site"]; len(site) > 0 && site[0] != "same-origin" && site[0] != "none" {
		e.json(http.StatusForbidden, map[string]string{"error": "cross_site"})
		return
	}
	s := e.v.Session
	if s == nil {
		url := e.v.Origin.String() + screen.Root + "login"
		e.w.Header().Set("WWW-Authenticate", `Gatehouse login_url="`+url+`"`)
		e.json(http.StatusUnauthorized, loginRequired{"login_required", url})
		return
	}
	who := whoAmI{
		Subject: s.Subject, Email: s.Address.String(), Name: s.Name, Groups: []string{}, Session: s.ID,
		AMR: s.AMR, AuthTime: s.AuthTime.Unix(), Expires: s.Expires.Unix(),
	}
	if e.p.groups != nil {
		who.Groups = append(who.Groups, e.p.groups.Of(s.Address)...)
	}
	e.json(http.StatusOK, who)
}
