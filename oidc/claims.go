package oidc

import (
	"encoding/json"
	"slices"
)

// claimsRequest is the parameter claims (OpenID Connect Core, 5.5): what a client
// wants to learn beyond its scopes. What nobody here knows is left out, also when
// it is essential.
type claimsRequest struct {
	UserInfo map[string]*claimWish `json:"userinfo"`
	IDToken  map[string]*claimWish `json:"id_token"`
}

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
	return ""
}

// wants tells whether the claim is wanted anywhere.
func (r *claimsRequest) wants(claim string) bool {
	_, there := r.UserInfo[claim]
	_, here := r.IDToken[claim]
	return there || here
}

// subject is who is meant, empty for anybody.
func (r *claimsRequest) subject() string {
	for _, set := range []map[string]*claimWish{r.IDToken, r.UserInfo} {
		if wish := set["sub"]; wish != nil {
			if sub, ok := wish.Value.(string); ok {
				return sub
			}
		}
	}
	return ""
}

// mayHaveACR tells whether an acr that must be reached, if there is one, can be.
func (r *claimsRequest) mayHaveACR() bool {
	wish := r.IDToken["acr"]
	if wish == nil || !wish.Essential || wish.Value == nil && wish.Values == nil {
		return true
	}
	return wish.Value == any(ACR) || slices.Contains(wish.Values, any(ACR))
}
