package oidc

import (
	"net/http"
	"strings"
)

// userInfoClaims tell a client about the person.
type userInfoClaims struct {
	Subject string `json:"sub"`
	personClaims
}

// userInfo answers an access token with what its client may know now.
func userInfo(c *call) {
	value, ok := c.bearer()
	if !ok {
		return
	}
	a, err := c.h.grants.Read(c.r.Context(), c.issuer, value, false)
	switch {
	case err != nil:
		c.unavailable(err)
		return
	case a == nil:
		c.badToken("invalid_token", "the access token is not good, or not any more")
		return
	}
	c.share(a.Client)
	names, err := c.h.grants.Names(c.r.Context(), a.Grant)
	if err != nil {
		c.unavailable(err)
		return
	}
	c.json(http.StatusOK, userInfoClaims{names.Subject, claimsOf(a.Grant, a.Person, a.Told)})
}

// bearer finds the access token in the header or in a posted form, never in the
// address, which stands in logs (RFC 6750). It answers itself if there is none.
func (c *call) bearer() (string, bool) {
	var found []string
	for _, line := range c.r.Header["Authorization"] {
		scheme, value, _ := strings.Cut(line, " ")
		if strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.TrimSpace(value))
		}
	}
	if value := c.form.get("access_token"); value != "" {
		found = append(found, value)
	}
	switch len(found) {
	case 0:
		for _, client := range c.h.grants.Clients() {
			c.share(client)
		}
		c.badToken("", "")
	case 1:
		return found[0], true
	default:
		c.refuse(http.StatusBadRequest, "invalid_request", "the access token comes once")
	}
	return "", false
}

func (c *call) badToken(code, description string) {
	challenge := `Bearer realm="` + c.issuer + `"`
	if code == "" {
		c.w.Header().Set("WWW-Authenticate", challenge)
		c.refuse(http.StatusUnauthorized, "invalid_token", "there is no access token")
		return
	}
	c.w.Header().Set("WWW-Authenticate", challenge+`, error="`+code+`", error_description="`+description+`"`)
	for _, client := range c.h.grants.Clients() {
		c.share(client)
	}
	c.refuse(http.StatusUnauthorized, code, description)
}
