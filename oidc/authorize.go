package oidc

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// The authorization endpoint. A request is read and proven first: whose it is and
// where the answer may go. Until then a mistake is shown to the person, and
// nothing is sent anywhere; afterwards it goes to the client by redirect. Then
// the questions, each of which may lead to a page and from there back to the same
// request: is somebody signed in, recently enough, and the right one; may they
// sign in at the client; have they said yes. At the end stands a code.

// authRequest is a request for authorization whose client and redirect URI are
// proven.
type authRequest struct {
	params
	client      *grant.Client
	redirectURI string
	wish        grant.Wish
	prompt      []string
	maxAge      time.Duration // negative: any
	claims      claimsRequest
	meant       string    // whom id_token_hint was of, empty for nobody
	since       time.Time // when a new sign-in was asked for, zero for not yet
}

// authError is what a client is told by redirect.
type authError struct{ code, description string }

// authorizePosted answers a request that came as a form, perhaps from another
// site, whose browser then sends no cookie of ours: it is asked to come again.
func authorizePosted(c *call) {
	web.SeeOther(c.w, authorizePath+"?"+c.form.values.Encode(), true)
}

func authorize(c *call) {
	q := c.request(c.r.URL.RawQuery)
	if q == nil {
		return
	}
	if q.get(cancelParam) != "" {
		c.deny(q, authError{"access_denied", "the person did not want to sign in"})
		return
	}
	c.decide(q, "")
}

// parsed reads the parameters, or finds those that were put aside.
func (c *call) parsed(query string) (params, error) {
	p, err := parseParams(query)
	if err != nil {
		return p, nil // prove finds no client in it
	}
	kept := p.get(keptParam)
	if kept == "" {
		return p, nil
	}
	text, err := c.h.grants.Kept(c.r.Context(), kept)
	if err != nil {
		return p, err
	}
	whole, err := parseParams(text)
	if err != nil {
		return p, nil
	}
	if p.get(cancelParam) != "" {
		whole.values.Set(cancelParam, "1")
	}
	return whole, nil
}

// request reads a request for authorization. It answers, and returns nil, if
// there is something wrong with it.
func (c *call) request(query string) *authRequest {
	p, err := c.parsed(query)
	if err != nil {
		c.outage(err)
		return nil
	}
	q := c.prove(p)
	if q == nil {
		return nil
	}
	wrong := q.read(c)
	if wrong == nil {
		if wrong, err = q.readHint(c); err != nil {
			c.outage(err)
			return nil
		}
	}
	if wrong != nil {
		c.deny(q, *wrong)
		return nil
	}
	return q
}

// prove finds client and redirect URI. It shows a page, and returns nil, if they
// can't be relied on: a redirect would lead anywhere (RFC 9700, 4.11).
func (c *call) prove(p params) *authRequest {
	detail := ""
	id, uri := p.get("client_id"), p.get("redirect_uri")
	client := c.h.grants.Client(id)
	switch {
	case p.twice == "client_id" || p.twice == "redirect_uri":
		detail = p.twice + " is there more than once."
	case id == "":
		detail = "client_id is missing: the id of an app block."
	case client == nil || len(client.Redirects) == 0:
		detail = "client_id " + quoted(id) + " is no app that signs people in here."
	case uri == "":
		detail = "redirect_uri is missing."
	case !client.MayRedirect(uri):
		detail = "redirect_uri " + quoted(uri) + " is not one of app " + client.ID + ": write in its block \"redirect_uri\" and this URI, byte by byte."
	}
	if detail != "" {
		c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.BadApp, Detail: detail})
		return nil
	}
	return &authRequest{params: p, client: client, redirectURI: uri, maxAge: -1}
}

// quoted shows what somebody sent in a message, whatever is in it.
func quoted(s string) string { return strconv.QuoteToASCII(s[:min(len(s), 200)]) }

// read reads the rest of the request. It returns what is wrong, nil for nothing.
func (q *authRequest) read(c *call) *authError {
	invalid := func(description string) *authError { return &authError{"invalid_request", description} }
	size := 0
	for name, values := range q.values {
		size += len(name) + len(strings.Join(values, ""))
	}
	switch {
	case q.twice != "":
		return invalid(q.twice + " is there more than once")
	case size > maxRequest:
		return invalid("the request is too long")
	case q.oversized() != "":
		return invalid(q.oversized() + " is too long")
	case q.get("response_type") == "":
		return invalid("response_type is missing; it is code")
	case q.get("response_type") != "code":
		return &authError{"unsupported_response_type", "response_type is code here"}
	case q.get("response_mode") != "" && q.get("response_mode") != "query":
		return invalid("response_mode is query here")
	case q.get("request") != "":
		return &authError{"request_not_supported", "request objects are not supported"}
	case q.get("request_uri") != "":
		return &authError{"request_uri_not_supported", "request objects are not supported"}
	case q.get("registration") != "":
		return &authError{"registration_not_supported", "clients are configured here"}
	}
	for _, s := range q.words("scope") {
		if slices.Contains([]string{grant.ScopeOpenID, grant.ScopeEmail, grant.ScopeProfile, grant.ScopeOffline}, s) {
			q.wish.Scope = append(q.wish.Scope, s)
		}
	}
	if !slices.Contains(q.wish.Scope, grant.ScopeOpenID) {
		return &authError{"invalid_scope", "scope must have openid"}
	}
	if wrong := q.readChallenge(); wrong != "" {
		return invalid(wrong)
	}
	if wrong := q.readPrompt(); wrong != "" {
		return invalid(wrong)
	}
	if wrong := q.claims.read(q.get("claims")); wrong != "" {
		return invalid("claims: " + wrong)
	}
	if needs, can := q.claims.needsACR(); needs && !can {
		return &authError{"unmet_authentication_requirements", "the acr that is essential can't be reached here"}
	}
	q.wish.UserInfo, q.wish.IDToken = q.claims.UserInfo.facts(), q.claims.IDToken.facts()
	q.meant, q.since = q.get(meantParam), c.h.grants.Marked(q.get(sinceParam), q.about())
	return nil
}

// readHint reads whom the app means by an ID token.
func (q *authRequest) readHint(c *call) (*authError, error) {
	text := q.get("id_token_hint")
	if text == "" {
		return nil, nil
	}
	hint, err := c.hint(text)
	if err != nil {
		return nil, err
	}
	if hint == nil {
		return &authError{"invalid_request", "id_token_hint is no ID token of this provider"}, nil
	}
	q.meant = hint.Subject
	return nil, nil
}

// readChallenge reads PKCE (RFC 7636). Without a method the challenge would be
// the verifier itself, which whoever reads the request could show.
func (q *authRequest) readChallenge() (wrong string) {
	challenge, method := q.get("code_challenge"), q.get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return "code_challenge is missing"
	case challenge == "" && (q.client.IsPublic() || !q.client.PKCEOptional):
		return "code_challenge is missing: PKCE is required"
	case challenge == "":
		return ""
	case method != "S256":
		return "code_challenge_method must be S256"
	case !isChallenge(challenge):
		return "code_challenge must be 43 to 128 letters, digits, -, ., _ and ~"
	}
	return ""
}

func isChallenge(s string) bool {
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	}
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, strange)
}

// The values of prompt.
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
	promptSelect  = "select_account"
)

func (q *authRequest) readPrompt() (wrong string) {
	q.prompt = q.words("prompt")
	for _, one := range q.prompt {
		if !slices.Contains([]string{promptNone, promptLogin, promptConsent, promptSelect}, one) {
			return "prompt is none, login, consent or select_account"
		}
	}
	if q.wants(promptNone) && len(q.prompt) > 1 {
		return "prompt none stands alone"
	}
	if text := q.get("max_age"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return "max_age is a number of seconds"
		}
		q.maxAge = time.Duration(n) * time.Second
	}
	return ""
}

func (q *authRequest) wants(prompt string) bool { return slices.Contains(q.prompt, prompt) }

// decide asks the questions, and answers with a code if none is left. answered is
// the mark of a question that the person has said yes to, empty for none.
func (c *call) decide(q *authRequest, answered string) {
	s := c.v.Session
	lack, err := c.lack(q, s)
	switch {
	case err != nil:
		c.outage(err)
		return
	case lack == somebodyElse && !q.since.IsZero(), lack != nothing && q.wants(promptNone):
		c.deny(q, authError{"login_required", "nobody who may be meant is signed in recently enough"})
		return
	case lack != nothing:
		c.signIn(q, lack)
		return
	}
	c.h.service.Sessions().Opened(s, c.v.Origin)
	if !q.client.Admits(s.Address) {
		if q.wants(promptNone) {
			c.deny(q, authError{"access_denied", "the person may not use this app"})
			return
		}
		c.notAllowed(q)
		return
	}
	if _, at := q.client.Begins(c.v.Origin); !at.IsZero() {
		c.h.service.Sessions().Opened(s, at)
	}
	ask, err := c.h.grants.Asks(c.r.Context(), c.v.Origin, q.client, q.redirectURI, s, q.wish, q.wants(promptConsent))
	agreed := ask.Question == grant.NoQuestion
	if err == nil && !agreed {
		agreed, err = c.h.grants.Agree(c.r.Context(), ask, answered)
	}
	switch {
	case err != nil:
		c.outage(err)
	case agreed:
		c.grant(q, s)
	case ask.Question == grant.AskProof && q.wants(promptNone):
		c.deny(q, authError{"login_required", "the person has not read a mail for this sign-in"})
	case ask.Question == grant.AskProof:
		c.signIn(q, proof)
	case q.wants(promptNone) && ask.Question == grant.AskConsent:
		c.deny(q, authError{"consent_required", "the person has not agreed yet"})
	case q.wants(promptNone):
		c.deny(q, authError{"interaction_required", "the person has not signed up yet"})
	default:
		c.ask(q, ask)
	}
}

// lack is why somebody has to sign in before a request can be answered.
type lack uint8

const (
	nothing      lack = iota
	anybody           // nobody is signed in, or the person wants to choose
	proof             // the right one is, not recently enough
	somebodyElse      // another one is than is meant
)

// lack tells what a session lacks for the request. Who has signed in since the
// request came has done so recently enough, but for a code that an operator told.
func (c *call) lack(q *authRequest, s *session.Session) (lack, error) {
	if s == nil || q.wants(promptSelect) && q.since.IsZero() {
		return anybody, nil
	}
	sub, err := c.h.grants.Subject(c.r.Context(), q.client, s.Subject)
	done := !q.since.IsZero() && !s.AuthTime.Before(q.since) && s.IsByMail()
	needsACR, _ := q.claims.needsACR()
	switch {
	case q.meant != "" && q.meant != sub || !q.claims.mayBe(sub):
		return somebodyElse, err
	case needsACR && !s.IsByMail(),
		!done && (q.wants(promptLogin) || q.maxAge >= 0 && !c.h.service.Sessions().IsFresh(s, q.maxAge+time.Second)):
		return proof, err
	}
	return nothing, err
}

// about is what a mark of the time is for.
func (q *authRequest) about() string {
	return strings.Join([]string{q.client.ID, q.redirectURI, q.get("state"), q.get("nonce"), q.get("code_challenge")}, "\x00")
}

// signIn sends the browser to the sign-in page, and from there back here.
func (c *call) signIn(q *authRequest, why lack) {
	q.values.Set(sinceParam, c.h.grants.Since(q.about()))
	back, ok := c.resume(q)
	if !ok {
		return
	}
	to := url.Values{"return_to": {back}}
	if q.get("login_hint") != "" {
		to.Set("login_hint", q.get("login_hint"))
	}
	if q.get("ui_locales") != "" {
		to.Set("ui_locales", q.get("ui_locales"))
	}
	if why == proof {
		to.Set("max_age", "0") // the same person again
	}
	web.SeeOther(c.w, screen.Root+"login?"+to.Encode(), true)
}

// maxResume is the longest address that a sign-in leads back to with its query.
const maxResume = 1900

// resume is the path of this request, to be returned to. One that is too long is
// put aside. The address of the sign-in page stands in logs: of an ID token only
// whose it is goes along.
func (c *call) resume(q *authRequest) (string, bool) {
	keep := url.Values{}
	for _, name := range known {
		if value := q.get(name); value != "" {
			keep.Set(name, value)
		}
	}
	keep.Del("id_token_hint")
	if q.meant != "" {
		keep.Set(meantParam, q.meant)
	}
	query := keep.Encode()
	if path := authorizePath + "?" + query; len(path) <= maxResume {
		return path, true
	}
	if c.h.service.CountClient("oidc kept", c.v.Client).Over {
		c.deny(q, authError{"temporarily_unavailable", "too many long requests come from this network"})
		return "", false
	}
	name, err := c.h.grants.Keep(c.r.Context(), query)
	if err != nil {
		c.outage(err)
		return "", false
	}
	return authorizePath + "?" + url.Values{keptParam: {name}}.Encode(), true
}

// cancelPath is where a person goes who does not want to sign in.
func cancelPath(resume string) string { return resume + "&" + cancelParam + "=1" }

// Asker tells the pages on whose behalf somebody signs in who goes on at path
// afterwards; the zero Asker for nobody's.
func (h *Handler) Asker(path string) screen.Asker {
	rest, ok := strings.CutPrefix(path, authorizePath+"?")
	if !ok {
		return screen.Asker{}
	}
	c := &call{h: h, r: (&http.Request{}).WithContext(context.Background())}
	p, err := c.parsed(rest)
	if err != nil {
		return screen.Asker{}
	}
	client := h.grants.Client(p.get("client_id"))
	if client == nil || !client.MayRedirect(p.get("redirect_uri")) {
		return screen.Asker{}
	}
	return screen.Asker{Name: client.Name, Cancel: cancelPath(path), Leads: leads(p.get("redirect_uri"))}
}

// leads is where a redirect URI leads, as a content policy names it.
func leads(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// notAllowed shows who is signed in that they may not use the app.
func (c *call) notAllowed(q *authRequest) {
	back, ok := c.resume(q)
	if !ok {
		return
	}
	c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.NotAllowed, App: q.client.Name, Here: back, Back: cancelPath(back)})
}

// grant answers with a code.
func (c *call) grant(q *authRequest, s *session.Session) {
	code, err := c.h.grants.Code(c.r.Context(), grant.Ask{
		Issuer: c.issuer, Client: q.client, Session: s, RedirectURI: q.redirectURI, Challenge: q.get("code_challenge"),
		Nonce: q.get("nonce"), Wish: q.wish,
	})
	if err != nil {
		c.outage(err)
		return
	}
	c.answer(q, "code", code)
}

// deny answers with an error.
func (c *call) deny(q *authRequest, e authError) {
	c.answer(q, "error", e.code, "error_description", e.description)
}

// answer sends the browser to the client with parameters, in pairs; with the
// state, and with who answers, so that the client can tell providers apart (RFC
// 9207). 303: a form that was posted is not posted on.
func (c *call) answer(q *authRequest, pairs ...string) {
	values := url.Values{"iss": {c.issuer}}
	if state := q.get("state"); state != "" {
		values.Set("state", state)
	}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	web.SeeOther(c.w, withQuery(q.redirectURI, values), true)
}

// withQuery adds parameters to a registered URI, which stays as it is.
func withQuery(uri string, values url.Values) string {
	switch {
	case len(values) == 0:
		return uri
	case strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&"):
		return uri + values.Encode()
	case strings.Contains(uri, "?"):
		return uri + "&" + values.Encode()
	}
	return uri + "?" + values.Encode()
}
