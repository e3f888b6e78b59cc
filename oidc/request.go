package oidc

import (
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
)

// params are the parameters of a request. An empty one counts as absent (RFC
// 6749, 3.1).
type params struct {
	values url.Values
	twice  string // a parameter of ours that is there more than once; empty for none
}

// known are the parameters that mean something here. Of two of one of them,
// whoever looks at the request before us may have seen the other. What is not in
// the list is ignored, however often it comes.
var known = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "id_token_hint", "ui_locales",
	"claims", "acr_values", "display", "claims_locales", "request", "request_uri", "registration",
	sinceParam, cancelParam, keptParam, meantParam,
	"grant_type", "code", "code_verifier", "refresh_token", "client_secret", "client_assertion", "client_assertion_type",
	"token", "token_type_hint", "access_token",
	"post_logout_redirect_uri", "logout_hint", "decision", "mark", "request_query",
}

// What our own redirects add to a request for authorization.
const (
	sinceParam  = "gatehouse_since"  // marks when a new sign-in was asked for
	cancelParam = "gatehouse_cancel" // the person does not want to sign in
	keptParam   = "gatehouse_kept"   // finds a request again that was too long
	meantParam  = "gatehouse_sub"    // stands for an id_token_hint
)

var errQuery = errors.New("the parameters are not written as application/x-www-form-urlencoded")

func parseParams(text string) (params, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return params{values: url.Values{}}, errQuery
	}
	p := params{values: values}
	for _, name := range known {
		if len(values[name]) > 1 {
			p.twice = name
			break
		}
	}
	return p, nil
}

// get returns a parameter, empty for one that is absent or there twice.
func (p params) get(name string) string {
	if len(p.values[name]) != 1 {
		return ""
	}
	return p.values[name][0]
}

// words are the values of a parameter that has several, without repeats.
func (p params) words(name string) (words []string) {
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(p.get(name)) {
		if !seen[word] {
			seen[word] = true
			words = append(words, word)
		}
	}
	return words
}

// readForm reads a form-encoded body.
func readForm(contentType string, body []byte) (params, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if len(body) > 0 && (err != nil || media != "application/x-www-form-urlencoded") {
		return params{}, errors.New("the body must be application/x-www-form-urlencoded")
	}
	p, err := parseParams(string(body))
	if err == nil && p.twice != "" {
		err = fmt.Errorf("%s is there more than once", p.twice)
	}
	return p, err
}

// limits of single parameters in bytes; the whole request has one too.
var maxParam = map[string]int{
	"state": 4096, "nonce": 2048, "scope": 2048, "claims": 4096, "prompt": 256, "login_hint": 512, "ui_locales": 512,
	"id_token_hint": 8192, "acr_values": 2048, "redirect_uri": 2048, "client_id": 64, "code_challenge": 128, "max_age": 10,
}

// maxRequest bounds a request for authorization as a whole, with a hint of 4 KiB
// and claims of as much.
const maxRequest = 16 << 10

// oversized names a parameter that is too long, empty for none.
func (p params) oversized() string {
	for name, most := range maxParam {
		if len(p.get(name)) > most {
			return name
		}
	}
	return ""
}
