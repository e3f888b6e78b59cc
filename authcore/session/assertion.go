package session

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

const (
	// assertionLifetime is how long an assertion is valid.
	assertionLifetime = 2 * time.Minute
	// AssertionReuse is how long one assertion is handed out again: what is
	// left of it then is never below a minute.
	AssertionReuse = time.Minute
)

type assertionClaims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	Email    string   `json:"email,omitempty"` // none for a machine token of the configuration
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups"`
	Token    string   `json:"token,omitempty"` // which machine token, as Session.User has it
	Session  string   `json:"sid"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	AuthTime int64    `json:"auth_time"`
	AMR      []string `json:"amr"`
}

// Assert signs a statement for the app at site: who uses it and how they
// signed in. It is a compact JWS, EdDSA, with typ gatehouse-assertion+jwt, and
// is verified with the keys of jwks.json. issuer is the origin that serves that
// file: the site, or where people sign in for it; aud is the site.
func (s *View) Assert(ctx context.Context, session *Session, issuer, site origin.Origin, groups []string) (string, error) {
	now := s.core.now()
	if groups == nil {
		groups = []string{}
	}
	token := ""
	if session.Machine != nil {
		token = session.User()
	}
	return s.core.keys.Sign(ctx, assertionKind, assertionClaims{
		Issuer: issuer.String(), Audience: site.String(),
		Subject: session.Subject, Email: session.Address.String(), Name: session.Name, Groups: groups,
		Token: token, Session: session.ID, IssuedAt: now.Unix(), Expires: now.Add(assertionLifetime).Unix(),
		AuthTime: session.AuthTime.Unix(), AMR: session.AMR,
	})
}

type accessClaims struct {
	Issuer     string   `json:"iss"`
	Audience   []string `json:"aud"`
	Type       string   `json:"type"`
	Subject    string   `json:"sub"`
	Email      string   `json:"email,omitempty"`
	CommonName string   `json:"common_name,omitempty"` // of a machine token
	Nonce      string   `json:"identity_nonce"`
	IssuedAt   int64    `json:"iat"`
	NotBefore  int64    `json:"nbf"`
	Expires    int64    `json:"exp"`
}

// AssertAccess is Assert in the form that apps behind Cloudflare Access verify:
// RS256, aud an array that holds the site's origin. It lives as long as an assertion.
func (s *View) AssertAccess(ctx context.Context, session *Session, issuer, site origin.Origin) (string, error) {
	now := s.core.now()
	claims := accessClaims{
		Issuer: issuer.String(), Audience: []string{site.String()}, Type: "app", Subject: session.Subject,
		Email: session.Address.String(), Nonce: session.ID,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(assertionLifetime).Unix(),
	}
	if session.Machine != nil {
		claims.CommonName = session.User()
	}
	return s.core.keys.Sign(ctx, accessKind, claims)
}
