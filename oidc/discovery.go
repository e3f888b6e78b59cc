package oidc

import (
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// What we sign for apps: one kind of token is never taken for another. ID tokens
// have the typ that libraries know; an ID token shown to us is told from what the
// same key signs for others by its claims (see hint).
var (
	idTokenRS256 = keyring.Kind{Alg: "RS256", Typ: "JWT"}
	idTokenES256 = keyring.Kind{Alg: "ES256", Typ: "JWT"}
)

// idTokenKind is how ID tokens for a client are signed.
func idTokenKind(c *grant.Client) keyring.Kind {
	if c.ES256 {
		return idTokenES256
	}
	return idTokenRS256
}

// logoutTokenKind is how a client is told of endings.
func logoutTokenKind(c *grant.Client) keyring.Kind {
	kind := idTokenKind(c)
	kind.Typ = "logout+jwt"
	return kind
}

// acr is the authentication context of everybody who signs in here: they read the
// mail of their address. That is one factor.
const acr = "urn:gatehouse:email"

// metadata describes the provider (OpenID Connect Discovery, RFC 8414).
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	JWKS          string `json:"jwks_uri"`
	EndSession    string `json:"end_session_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Introspection string `json:"introspection_endpoint"`

	ResponseTypes    []string `json:"response_types_supported"`
	ResponseModes    []string `json:"response_modes_supported"`
	GrantTypes       []string `json:"grant_types_supported"`
	SubjectTypes     []string `json:"subject_types_supported"`
	IDTokenAlgs      []string `json:"id_token_signing_alg_values_supported"`
	TokenAuth        []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth   []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectAuth   []string `json:"introspection_endpoint_auth_methods_supported"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
	Scopes           []string `json:"scopes_supported"`
	Claims           []string `json:"claims_supported"`
	ClaimTypes       []string `json:"claim_types_supported"`
	ACR              []string `json:"acr_values_supported"`
	Locales          []string `json:"ui_locales_supported"`
	Prompts          []string `json:"prompt_values_supported"`

	ClaimsParameter    bool `json:"claims_parameter_supported"`
	RequestParameter   bool `json:"request_parameter_supported"`
	RequestURI         bool `json:"request_uri_parameter_supported"` // absent would mean true
	BackchannelLogout  bool `json:"backchannel_logout_supported"`
	BackchannelSession bool `json:"backchannel_logout_session_supported"`
	ResponseIssuer     bool `json:"authorization_response_iss_parameter_supported"`
}

// discovery tells what the provider can do.
func discovery(c *call) {
	basicPostNone := []string{"client_secret_basic", "client_secret_post", "none"}
	c.public(metadata{
		Issuer: c.issuer, Authorization: c.issuer + authorizePath, Token: c.issuer + tokenPath, UserInfo: c.issuer + userInfoPath,
		JWKS: c.issuer + jwksPath, EndSession: c.issuer + logoutPath, Revocation: c.issuer + revokePath, Introspection: c.issuer + introspectPath,
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, SubjectTypes: []string{"public", "pairwise"},
		IDTokenAlgs: []string{"RS256", "ES256"}, TokenAuth: basicPostNone, RevocationAuth: basicPostNone,
		IntrospectAuth: basicPostNone[:2], ChallengeMethods: []string{"S256"},
		Scopes:     []string{grant.ScopeOpenID, grant.ScopeEmail, grant.ScopeOffline},
		Claims:     []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "email", "email_verified", "name"},
		ClaimTypes: []string{"normal"}, ACR: []string{acr}, Locales: c.h.pages.Languages(),
		Prompts:         []string{"none", "login", "consent", "select_account"},
		ClaimsParameter: true, BackchannelLogout: true, BackchannelSession: true, ResponseIssuer: true,
	})
}

// jwks publishes the keys that ID tokens and logout tokens verify with. A new one
// stands there for a day before it signs.
func jwks(c *call) {
	var all jose.JSONWebKeySet
	for _, kind := range []keyring.Kind{idTokenRS256, idTokenES256} {
		signs := func(client *grant.Client) bool { return idTokenKind(client) == kind }
		if kind == idTokenES256 && !slices.ContainsFunc(c.h.grants.Clients(), signs) {
			continue // it needs no key
		}
		set, err := c.h.service.Core().Keys().Public(c.r.Context(), kind)
		if err != nil {
			c.unavailable(err)
			return
		}
		all.Keys = append(all.Keys, set.Keys...)
	}
	c.public(all)
}
