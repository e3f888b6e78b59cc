package api_test

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/api/stackbe"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// holders are what a call can show, in the order of the table's columns.
var holders = []struct {
	name   string
	holder api.Holder
}{
	{"secret key", api.Secret}, {"publishable key", api.Publishable}, {"session token", api.Session},
	{"none", api.Nobody}, {"another app's key", -1},
}

// rightsHouse is an instance with all dialects and somebody to call about.
type rightsHouse struct {
	*apitest.House
	n       int
	jwt     string // alice's at StackBE
	token   string // alice's at Streambird
	reflex  string // alice's at reflex
	org     string
	alice   string   // without the prefixes of ids
	secrets []string // what only the app's own callers may be told
}

func newRightsHouse(t *testing.T, alone bool) *rightsHouse {
	t.Helper()
	h := apitest.New(t, func(h *apitest.House) {
		callbacks, err := origin.ParseCallbacks([]string{"http://localhost:3000/callback"})
		if err != nil {
			t.Fatal(err)
		}
		h.Alone = alone
		h.App.Callbacks, h.App.Organizations, h.App.AutoVerify = callbacks, true, true
		for _, use := range []origin.RedirectUse{origin.RedirectLogin, origin.RedirectRegistration, origin.RedirectInvite} {
			if err := h.App.Redirects.Add(use, "http://localhost:3000/authenticate"); err != nil {
				t.Fatal(err)
			}
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{
			link.New(h.Parts()),
			reflex.New(h.Parts(), reflex.Options{}),
			stackbe.New(h.Parts()),
			streambird.New(h.Parts()),
		}
	})
	w := &rightsHouse{House: h}
	user := w.ask("POST", "/v1/auth/users/create", object{"email": "alice@example.com"})
	w.alice = strings.TrimPrefix(user.String("user_id"), "user_")
	w.token = w.session("alice@example.com").String("session_token")
	w.jwt = w.ask("POST", "/v1/apps/shop/auth/verify", object{"token": w.stackbeLink("alice@example.com")}).String("sessionToken")
	otp := w.ask("POST", "/reflex/otp", object{"email": "alice@example.com"}).String("otp")
	w.reflex = w.ask("POST", "/reflex/validate", object{"email": "alice@example.com", "otp": otp}).String("session_token")
	w.org = w.ask("POST", "/v1/apps/shop/organizations", object{"name": "Acme", "ownerId": "cust_" + w.alice}).String("id")
	w.secrets = []string{w.alice, w.token, w.jwt, w.reflex, strings.TrimPrefix(w.org, "org_")}
	return w
}

// ask is a call with the secret key, which must be answered.
func (w *rightsHouse) ask(method, path string, body any) apitest.Answer {
	w.T.Helper()
	a := w.Do(method, path, body, "Authorization", "Bearer "+apitest.LiveKey)
	if a.Status >= 400 {
		w.T.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
	}
	return a
}

// someone is an address that nobody has used.
func (w *rightsHouse) someone() string {
	w.n++
	return "p" + strings.Repeat("x", w.n) + "@example.com"
}

// user makes one and returns address and id.
func (w *rightsHouse) user() (email, id string) {
	email = w.someone()
	return email, w.ask("POST", "/v1/auth/users/create", object{"email": email}).String("user_id")
}

// link is the token of a new link for a user.
func (w *rightsHouse) link(email string) string {
	return w.ask("POST", "/v1/auth/magic_links/create", object{"email": email}).String("token")
}

func (w *rightsHouse) session(email string) apitest.Answer {
	return w.ask("POST", "/v1/auth/magic_links/verify", object{"token": w.link(email), "session_expires_in": 60})
}

// stackbeLink is the token of a link that StackBE sends.
func (w *rightsHouse) stackbeLink(email string) string {
	w.ask("POST", "/auth/magic-link", object{"email": email})
	u, err := url.Parse(w.LastMail().Link)
	if err != nil {
		w.T.Fatal(err)
	}
	return u.Query().Get("token")
}

// invite is the id of a new invitation, and whose it is.
func (w *rightsHouse) invite(email string) string {
	return w.ask("POST", "/v1/apps/shop/organizations/"+w.org+"/invites", object{"email": email, "role": "member"}).String("id")
}

func (w *rightsHouse) lookup() (email, secret string) {
	email, _ = w.user()
	a := w.Do("GET", "/lookup?email="+email+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil)
	return email, a.String("client_secret")
}

// ledToACode is the link of a mail to somebody for whom too many wrong codes were given.
func (w *rightsHouse) ledToACode(pattern string) string {
	email, _ := w.user()
	begin := func() (answer func(code string)) {
		w.Sleep(61 * 1e9)
		if pattern == "/api/code" {
			secret := w.Do("GET", "/lookup?email="+email+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil).String("client_secret")
			w.Do("POST", "/start_verification", object{"client_secret": secret, "email": email})
			return func(code string) {
				w.Do("POST", "/authenticate", object{"client_secret": secret, "email": email, "code": code}, "Authorization", "Bearer "+apitest.LivePub)
			}
		}
		id := w.Do("POST", "/v1/auth/otps/email/login_or_create", object{"email": email}, "Authorization", "Bearer "+apitest.LivePub).String("email_id")
		return func(code string) {
			w.Do("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": code}, "Authorization", "Bearer "+apitest.LiveKey)
		}
	}
	answer, wrong := begin(), "000000"
	if w.LastMail().Code == wrong {
		wrong = "000001"
	}
	for range 5 {
		answer(wrong)
	}
	begin()
	return w.LastMail().Link
}

// request makes a good request for a call: its path and body. {key} stands for
// what is shown.
func (w *rightsHouse) request(call string, kind api.Holder) (path string, body any) {
	method, pattern, _ := strings.Cut(call, " ")
	const orgs = "/v1/apps/{appId}/organizations"
	fill := strings.NewReplacer("{appId}", "shop", "{orgId}", w.org, "{app_id}", "shop", "{feature}", "seats", "{action}", "cancel", "{call}", "x", "{provider}", "google").Replace
	path = fill(pattern)
	switch pattern {
	case "/api/lookup-email", "/lookup":
		if method == "GET" {
			return path + "?email=alice@example.com&STRIPE_PUBLIC_KEY={key}", nil
		}
		return path, url.Values{"email": {"alice@example.com"}, "STRIPE_PUBLIC_KEY": {"{key}"}}
	case "/api/start_verification", "/start_verification":
		email, secret := w.lookup()
		return path, object{"client_secret": secret, "email": email}
	case "/api/authenticate", "/authenticate":
		email, secret := w.lookup()
		w.Do("POST", "/start_verification", object{"client_secret": secret, "email": email})
		return path, object{"client_secret": secret, "email": email, "code": w.LastMail().Code}

	case "/api/code", "/v1/auth/otps/code":
		link, err := url.Parse(w.ledToACode(pattern))
		if err != nil {
			w.T.Fatal(err)
		}
		if method == "POST" {
			return link.RequestURI(), url.Values{}
		}
		return link.RequestURI(), nil

	case "/reflex/otp":
		return path, object{"email": w.someone()}
	case "/reflex/validate":
		email := w.someone()
		return path, object{"email": email, "otp": w.ask("POST", "/reflex/otp", object{"email": email}).String("otp")}
	case "/reflex/persistent-id":
		return path + "?email=bob@example.com", nil
	case "/magic-link-auth":
		email := w.someone()
		form := url.Values{"email": {email}, "otp": {w.ask("POST", "/reflex/otp", object{"email": email}).String("otp")}}
		if method == "GET" {
			return path + "?" + form.Encode(), nil
		}
		return path, form

	case "/auth/magic-link", "/v1/apps/{appId}/auth/magic-link", "/v1/customers":
		if method == "GET" {
			return path + "?email=alice@example.com", nil
		}
		return path, object{"email": w.someone()}
	case "/v1/apps/{appId}/auth/verify":
		email, _ := w.user()
		token := w.stackbeLink(email)
		switch {
		case method == "GET":
			return path + "?token=" + token, nil
		case kind == api.Nobody: // the page's button
			w.ask("POST", "/auth/magic-link", object{"email": email})
			opened, _ := url.Parse(w.LastMail().Link)
			token = opened.Query().Get("token")
			return path + "?token=" + token, url.Values{}
		}
		return path, object{"token": token}
	case "/v1/apps/{appId}/auth/switch-organization":
		return path, object{"organizationId": w.org}
	case "/v1/customers/{id}":
		return "/v1/customers/cust_" + w.alice, patch(method, object{"name": "Alice"})
	case "/v1/entitlements", "/v1/entitlements/check/{feature}":
		return path + "?customerId=cust_" + w.alice, nil
	case orgs:
		if method == "GET" {
			return path + "?customerId=cust_" + w.alice, nil
		}
		return path, object{"name": "Another", "ownerId": "cust_" + w.alice}
	case orgs + "/{orgId}":
		return path, patch(method, object{"name": "Acme"})
	case orgs + "/{orgId}/members":
		_, id := w.user()
		if method == "GET" {
			return path, nil
		}
		return path, object{"customerId": "cust_" + strings.TrimPrefix(id, "user_"), "role": "member"}
	case orgs + "/{orgId}/members/{customerId}":
		_, id := w.user()
		id = "cust_" + strings.TrimPrefix(id, "user_")
		w.ask("POST", fill(orgs+"/{orgId}/members"), object{"customerId": id, "role": "member"})
		return strings.Replace(path, "{customerId}", id, 1), patch(method, object{"role": "admin"})
	case orgs + "/{orgId}/invites":
		if method == "GET" {
			return path, nil
		}
		return path, object{"email": w.someone(), "role": "member"}
	case orgs + "/{orgId}/invites/{inviteId}", orgs + "/{orgId}/invites/{inviteId}/resend":
		if method == "DELETE" {
			return strings.Replace(path, "{inviteId}", w.invite(w.someone()), 1), nil
		}
		return strings.Replace(path, "{inviteId}", w.invite(w.someone()), 1), object{}
	case orgs + "/invites/accept":
		return path, object{"inviteId": w.invite("alice@example.com")}

	case "/v1/auth/magic_links/email/login_or_create":
		return path, object{"email": w.someone(), "auto_verify": true}
	case "/v1/auth/magic_links/email/login_status":
		email := w.someone()
		made := w.ask("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": email, "auto_verify": true})
		opened, _ := url.Parse(w.LastMail().Link)
		if a := w.Do("POST", opened.RequestURI(), url.Values{"digits": {made.String("verification_digits")}}); a.Status != 200 {
			w.T.Fatalf("the hosted page: %d %s", a.Status, a.Text)
		}
		return path, object{"email_id": made.Get("email_id"), "request_origin_token": made.Get("request_origin_token")}
	case "/v1/auth/magic_links/hosted/{app_id}":
		made := w.ask("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": w.someone(), "auto_verify": true})
		opened, _ := url.Parse(w.LastMail().Link)
		if method == "GET" {
			return opened.RequestURI(), nil
		}
		return opened.RequestURI(), url.Values{"digits": {made.String("verification_digits")}}
	case "/v1/auth/magic_links/email/invite", "/v1/auth/otps/email/login_or_create":
		return path, object{"email": w.someone()}
	case "/v1/auth/magic_links/create", "/v1/auth/otps/email/send":
		email, _ := w.user()
		return path, object{"email": email}
	case "/v1/auth/magic_links/verify":
		email, _ := w.user()
		return path, object{"token": w.link(email), "session_expires_in": 60}
	case "/v1/auth/otps/sms/login_or_create":
		return path, object{"phone_number": "+14155550123"}
	case "/v1/auth/otps/sms/send":
		w.n++
		number := "+1415555" + "0200"[:4-len(w.digits())] + w.digits()
		w.ask("POST", "/v1/auth/users/create", object{"phone_number": number})
		return path, object{"phone_number": number}
	case "/v1/auth/otps/verify":
		email := w.someone()
		made := w.ask("POST", "/v1/auth/otps/email/login_or_create", object{"email": email})
		return path, object{"method_id": made.Get("email_id"), "otp": w.LastMail().Code, "session_expires_in": 60}
	case "/v1/auth/sessions/verify", "/v1/auth/sdk/sessions/verify", "/v1/auth/sdk/users/me":
		return path, object{"session_token": w.token}
	case "/v1/auth/sdk/users/update":
		return path, object{"session_token": w.token, "first_name": "Alice"}
	case "/v1/auth/sessions/delete", "/v1/auth/sdk/sessions/delete":
		email, _ := w.user()
		return path, object{"session_token": w.session(email).Get("session_token")}
	case "/v1/auth/sessions/list":
		return path + "?user_id=user_" + w.alice, nil
	case "/v1/auth/users/create":
		return path, object{"email": w.someone()}
	case "/v1/auth/users/search":
		return path, object{}
	case "/v1/auth/users/{user_id}", "/v1/auth/users/{user_id}/update":
		return strings.Replace(path, "{user_id}", "user_"+w.alice, 1), patch(method, object{"first_name": "Alice"})
	case "/v1/auth/users/{user_id}/delete":
		_, id := w.user()
		return strings.Replace(path, "{user_id}", id, 1), nil
	case "/v1/auth/users/emails/{id}/delete", "/v1/auth/users/phone_numbers/{id}/delete":
		made := w.ask("POST", "/v1/auth/users/create", object{"email": w.someone(), "phone_number": "+1415556" + "0300"[:4-len(w.digits())] + w.digits()})
		field := "email_id"
		if strings.Contains(pattern, "phone") {
			field = "phone_number_id"
		}
		return strings.Replace(path, "{id}", made.String(field), 1), nil
	}
	return strings.Replace(path, "{id}", "x", 1), nil
}

func (w *rightsHouse) digits() string {
	const all = "0123456789"
	return string([]byte{all[w.n/100%10], all[w.n/10%10], all[w.n%10]})
}

// patch is the body of a call that changes something; GET and DELETE have none.
func patch(method string, body object) any {
	if method == "PATCH" || method == "PUT" {
		return body
	}
	return nil
}

// shown is the text of a key or token of a kind, as the dialect of a path
// knows it.
func (w *rightsHouse) shown(holder api.Holder, path string) string {
	switch holder {
	case api.Secret:
		return apitest.LiveKey
	case api.Publishable:
		return apitest.LivePub
	case api.Session:
		switch {
		case strings.HasPrefix(path, "/v1/auth/"):
			return w.token
		case strings.HasPrefix(path, "/reflex/"):
			return w.reflex
		}
		return w.jwt
	case api.Nobody:
		return ""
	}
	return apitest.OtherKey
}

// TestEveryCallWithEveryKey makes every call of every dialect with every kind
// of key, and holds the answers against the table of rights.
func TestEveryCallWithEveryKey(t *testing.T) {
	calls := api.Calls()
	slices.Sort(calls)
	for _, kind := range holders {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			w := newRightsHouse(t, kind.holder != -1)
			for i, call := range calls {
				if i%20 == 0 {
					w.Sleep(2 * 60 * 1e9) // past the limits of a minute
					w.token = w.session("alice@example.com").String("session_token")
				}
				w.hold(t, call, kind.holder)
			}
		})
	}
}

func (w *rightsHouse) hold(t *testing.T, call string, kind api.Holder) {
	t.Helper()
	method, pattern, _ := strings.Cut(call, " ")
	rights, _ := api.RightsOf(method, pattern)
	path, body := w.request(call, kind)
	key := w.shown(kind, path)
	path = strings.ReplaceAll(path, "{key}", key)
	if form, ok := body.(url.Values); ok && form.Has("STRIPE_PUBLIC_KEY") {
		form.Set("STRIPE_PUBLIC_KEY", key)
	}
	headers := []string{"Sec-Fetch-Site", "same-origin", "User-Agent", "Mozilla/5.0 Firefox/140.0"}
	if key != "" {
		headers = append(headers, "Authorization", "Bearer "+key)
	}
	a := w.Do(method, path, body, headers...)
	w.Quiet()
	right, open := rights.Nobody, rights.Secret|rights.Publishable|rights.Session == 0
	switch {
	case open:
	case kind == api.Secret:
		right = rights.Secret
	case kind == api.Publishable:
		right = rights.Publishable
	case kind == api.Session:
		right = rights.Session
	case kind != api.Nobody:
		w.foreign(t, call, rights, a)
		return
	}
	if rights.Session != 0 && rights.Nobody != 0 {
		right = api.May // the call asks about the token, whatever is shown as one
	}
	refused := a.Status == 401 || a.Status == 403
	if right&api.May == 0 && !refused {
		t.Errorf("%s is not refused: %d %.200s", call, a.Status, a.Text)
	}
	if right&api.May != 0 && a.Status >= 400 && a.Status != 501 {
		t.Errorf("%s is refused: %d %.200s", call, a.Status, a.Text)
	}
	if polls := a.Get("request_origin_token") != nil; polls != (right&(api.Polls|api.Pairs) != 0 && right&api.Starts != 0) {
		t.Errorf("%s gives something to wait with: %t", call, polls)
	}
	for _, secret := range []string{w.token, w.jwt, w.reflex} {
		if right&api.Learns == 0 && secret != key && strings.Contains(a.Text, secret) && !strings.Contains(call, "/sdk/sessions/verify") {
			t.Errorf("%s tells a token: %.200s", call, a.Text)
		}
	}
}

// foreign: another app's key gets nothing of this app.
func (w *rightsHouse) foreign(t *testing.T, call string, rights api.Rights, a apitest.Answer) {
	t.Helper()
	if rights.Secret == 0 && rights.Nobody == 0 && a.Status < 400 {
		t.Errorf("%s takes another app's key: %.200s", call, a.Text)
	}
	for _, secret := range w.secrets {
		if strings.Contains(a.Text, secret) {
			t.Errorf("%s tells another app's key of this app: %.200s", call, a.Text)
		}
	}
}

// TestTheTableOfRightsIsDocumented: the table of docs/apis.md is that of the
// routers.
func TestTheTableOfRightsIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/apis.md")
	if err != nil {
		t.Fatal(err)
	}
	calls := api.Calls()
	slices.SortFunc(calls, func(a, b string) int {
		aMethod, aPath, _ := strings.Cut(a, " ")
		bMethod, bPath, _ := strings.Cut(b, " ")
		return strings.Compare(aPath+" "+aMethod, bPath+" "+bMethod)
	})
	var table strings.Builder
	table.WriteString("| call | secret | publishable | session token | none |\n| --- | --- | --- | --- | --- |\n")
	for _, call := range calls {
		method, pattern, _ := strings.Cut(call, " ")
		r, _ := api.RightsOf(method, pattern)
		if r.Secret|r.Publishable|r.Session == 0 {
			r.Secret, r.Publishable, r.Session = r.Nobody, r.Nobody, r.Nobody
		}
		table.WriteString("| `" + call + "` | " + r.Secret.String() + " | " + r.Publishable.String() + " | " + r.Session.String() + " | " + r.Nobody.String() + " |\n")
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("docs/apis.md has another table of rights; it is:\n%s", table.String())
	}
}

// TestAPublishableKeyIsUsedUpForNobodyElse: it stands in every page, and whoever
// reads it there makes as many calls as they like.
func TestAPublishableKeyIsUsedUpForNobodyElse(t *testing.T) {
	w := newRightsHouse(t, true)
	pub := []string{"Authorization", "Bearer " + apitest.LivePub}
	calls := map[string]func() apitest.Answer{
		"sdk": func() apitest.Answer {
			return w.Do("POST", "/v1/auth/sdk/users/me", object{"session_token": "x"}, pub...)
		},
		"jwks": func() apitest.Answer { return w.Do("GET", "/v1/auth/jwks/default?api_key="+apitest.LivePub, nil) },
		"reflex": func() apitest.Answer {
			return w.Do("POST", "/reflex/validate", object{"email": "no@example.com", "otp": "x"}, pub...)
		},
		"reflex session": func() apitest.Answer { return w.Do("GET", "/reflex/session", nil, "X-API-Key", apitest.LivePub) },
		"link": func() apitest.Answer {
			return w.Do("POST", "/authenticate", object{"client_secret": "x", "email": "no@example.com"}, pub...)
		},
	}
	w.From("192.0.2.66")
	for name, call := range calls {
		for n := 0; call().Status != 429; n++ {
			if n > 1000 {
				t.Fatalf("%s: one client has no limit", name)
			}
		}
	}
	w.From("192.0.2.1")
	for name, call := range calls {
		if a := call(); a.Status == 429 {
			t.Errorf("%s: another client used the key up", name)
		}
	}
}
