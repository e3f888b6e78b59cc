package oidc

import (
	"encoding/json"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// claimsRequest is the parameter claims (OpenID Connect Core, 5.5): what a client
// wants to learn beyond its scopes. What nobody here knows is left out, also when
// it is essential.
type claimsRequest struct {
	UserInfo claimWishes `json:"userinfo"`
	IDToken  claimWishes `json:"id_token"`
}

type claimWishes map[string]*claimWish

// claimWish is what is said of one claim; nil for nothing.
type claimWish struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// read reads the parameter, empty for none. wrong is what is wrong with it.
func (r *claimsRequest) read(text string) (wrong string) {
	if text == "" {
		return ""
	}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return "this is not a JSON object of userinfo and id_token"
	}
	for _, wishes := range []claimWishes{r.UserInfo, r.IDToken} {
		for _, one := range wishes["sub"].all() {
			if _, ok := one.(string); !ok {
				return "sub is a string"
			}
		}
	}
	return ""
}

// all are the values that are wanted, none for any.
func (w *claimWish) all() []any {
	switch {
	case w == nil:
		return nil
	case w.Value != nil:
		return append([]any{w.Value}, w.Values...)
	}
	return w.Values
}

// facts are those of the wishes that somebody here knows. That an address was
// proved is told with it.
func (w claimWishes) facts() grant.Facts {
	_, email := w["email"]
	_, name := w["name"]
	return grant.Facts{Email: email, Name: name}
}

// mayBe tells whether the person called sub may be who is meant.
func (r *claimsRequest) mayBe(sub string) bool {
	for _, wishes := range []claimWishes{r.UserInfo, r.IDToken} {
		if all := wishes["sub"].all(); len(all) > 0 && !slices.Contains(all, any(sub)) {
			return false
		}
	}
	return true
}

// needsACR tells whether an acr must be reached, and whether it can be.
func (r *claimsRequest) needsACR() (needs, can bool) {
	wish := r.IDToken["acr"]
	all := wish.all()
	return wish != nil && wish.Essential, len(all) == 0 || slices.Contains(all, any(acr))
}

// personClaims tell of a person, in ID tokens and at userinfo. What is not known
// is left out, never null.
type personClaims struct {
	Email         string `json:"email,omitempty"`
	EmailVerified *bool  `json:"email_verified,omitempty"` // there with the address
	Name          string `json:"name,omitempty"`
}

func claimsOf(g *grant.Grant, p *person.Record, told grant.Facts) (out personClaims) {
	if told.Email {
		out.Email, out.EmailVerified = p.Address.String(), &g.ByMail
	}
	if told.Name {
		out.Name = p.Name
	}
	return out
}
