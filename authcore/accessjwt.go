package authcore

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

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
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(AssertionLifetime).Unix(),
	}
	if session.Machine != nil {
		claims.CommonName = session.User()
	}
	return s.core.keys.Sign(ctx, accessKind, claims)
}
