package streambird_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// TestAPublishableKeyTakesNobodysSignIn: whoever reads the key out of a page
// starts a sign-in for somebody else, who follows the genuine link.
func TestAPublishableKeyTakesNobodysSignIn(t *testing.T) {
	status := links + "email/login_status"
	t.Run("nothing to wait with", func(t *testing.T) {
		w := house(t, nil)
		a := want(t, w.call("POST", loginOrCreate, object{"email": alice}, apitest.LivePub), 200)
		if a.Get("request_origin_token") != nil {
			t.Errorf("a publishable key has what the sign-in can be fetched with: %s", a.Text)
		}
		want(t, w.post(links+"verify", object{"token": w.mailed().Query().Get("token")}), 200)
		w.call("POST", status, object{"email_id": a.Get("email_id"), "request_origin_token": a.Get("request_origin_token")}, apitest.LivePub)
	})
	t.Run("auto_verify is off unless it is written", func(t *testing.T) {
		w := house(t, nil)
		for _, key := range []string{apitest.LivePub, apitest.LiveKey} {
			refused(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": true}, key), 400, "invalid_request")
		}
		if n := len(w.Mail.Sent()); n != 0 {
			t.Errorf("%d mails were sent", n)
		}
	})
	t.Run("a JWT gives no token and no longer life", func(t *testing.T) {
		w := house(t, nil)
		s := w.signIn(alice)
		jwt := object{"session_jwt": s.String("session_jwt")}
		for _, path := range []string{root + "sessions/verify", root + "sdk/sessions/verify"} {
			for _, key := range []string{apitest.LiveKey, apitest.LivePub} {
				if a := w.call("POST", path, jwt, key); a.Get("session_token") != nil || a.Get("session.session_token") != nil {
					t.Errorf("%s gives the token for a JWT: %s", path, a.Text)
				}
			}
		}
		w.Sleep(2 * time.Second)
		if a := want(t, w.call("POST", root+"sdk/sessions/verify", jwt, apitest.LivePub), 200); a.Get("session_jwt") != jwt["session_jwt"] {
			t.Errorf("a page has another JWT for a JWT, and so for ever: %s", a.Text)
		}
		for _, body := range []object{{"session_jwt": jwt["session_jwt"]}, {"session_token": s.Get("session_token")}} {
			body["session_expires_in"] = 525600
			refused(t, w.call("POST", root+"sdk/sessions/verify", body, apitest.LivePub), 403, "forbidden")
		}
		if a := w.post(root+"sessions/verify", object{"session_token": s.Get("session_token")}); a.Get("session.expires_at") != s.Get("session.expires_at") {
			t.Errorf("the end was moved: %s", a.Text)
		}
	})
	t.Run("a page chooses no host of a wildcard", func(t *testing.T) {
		w := house(t, nil)
		w.user(alice)
		evil := object{"email": alice, "login_redirect_url": "https://evil.xyz.com/login/verify"}
		refused(t, w.call("POST", loginOrCreate, evil, apitest.LivePub), 400, "invalid_redirect_url")
		own := object{"email": alice, "login_redirect_url": authenticate, "registration_redirect_url": welcome}
		want(t, w.call("POST", loginOrCreate, own, apitest.LivePub), 200)
		w.Sleep(time.Hour)
		want(t, w.post(loginOrCreate, evil), 200)
	})
	t.Run("a page has no link live longer than the app says", func(t *testing.T) {
		for most, minutes := range map[time.Duration]int{5 * time.Minute: 5, 0: 60} {
			for _, field := range []string{"registration_expires_in", "expires_in"} {
				w := house(t, func(h *apitest.House) { h.App.LinkLifetime = most })
				body := object{"email": alice, field: 10080}
				want(t, w.call("POST", loginOrCreate, body, apitest.LivePub), 200)
				token := w.mailed().Query().Get("token")
				w.Sleep(time.Duration(minutes)*time.Minute + time.Second)
				refused(t, w.post(links+"verify", object{"token": token}), 400, "magic_link_expired")
				want(t, w.post(loginOrCreate, body), 200)
				token = w.mailed().Query().Get("token")
				w.Sleep(7*24*time.Hour - time.Minute)
				want(t, w.post(links+"verify", object{"token": token}), 200)
			}
		}
	})
	t.Run("a page puts nothing into the link", func(t *testing.T) {
		w := house(t, nil)
		for _, query := range []string{"?token=ATTACKERS", "?next=https://evil.com/", "?x=1", "?%74oken=A", "?=", "?&"} {
			body := object{"email": alice, "login_redirect_url": authenticate + query, "registration_redirect_url": welcome + query}
			refused(t, w.call("POST", loginOrCreate, body, apitest.LivePub), 400, "invalid_redirect_url")
		}
		if n := len(w.Mail.Sent()); n != 0 {
			t.Errorf("%d mails were sent", n)
		}
	})
	t.Run("a registered query is part of what is registered", func(t *testing.T) {
		const page = "https://app.xyz.com/in?tenant=1"
		w := house(t, func(h *apitest.House) {
			if err := h.App.Redirects.Add(origin.RedirectRegistration, page); err != nil {
				t.Fatal(err)
			}
		})
		body := object{"email": alice, "login_redirect_url": authenticate, "registration_redirect_url": page + "&token=A"}
		refused(t, w.call("POST", loginOrCreate, body, apitest.LivePub), 400, "invalid_redirect_url")
		body["registration_redirect_url"] = page
		want(t, w.call("POST", loginOrCreate, body, apitest.LivePub), 200)
		if q := w.mailed().Query(); q.Get("tenant") != "1" || len(q["token"]) != 1 {
			t.Errorf("the link has the query %v", q)
		}
	})
	t.Run("whoever chooses the query, the token is ours", func(t *testing.T) {
		for _, query := range []string{"token=A", "%74oken=A", "Token=A", "token[]=A", "+token=A", "token%00x=A"} {
			w := house(t, nil)
			sent := authenticate + "?" + query + "&next=%2Fhome&" + query
			want(t, w.post(loginOrCreate, object{"email": alice, "login_redirect_url": sent, "registration_redirect_url": welcome + "?" + query + "&next=%2Fhome&" + query}), 200)
			link := w.mailed()
			if q := link.Query(); len(q) != 2 || len(q["token"]) != 1 || q.Get("token") == "A" || q.Get("next") != "/home" {
				t.Errorf("%s: the link is %s", query, link)
			}
		}
	})
}

// TestRevokedWhileALinkWaits: an operator ends all of a person's sessions after
// the link was followed, and before its session was fetched.
func TestRevokedWhileALinkWaits(t *testing.T) {
	for _, key := range []string{apitest.LivePub, apitest.LiveKey} {
		w := house(t, func(h *apitest.House) { h.App.AutoVerify = true })
		poll := func(end bool) apitest.Answer {
			made := want(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": true}, key), 200)
			link := w.mailed()
			want(t, w.Do("POST", link.Path+"?"+link.RawQuery, url.Values{"digits": {made.String("verification_digits")}}), 200)
			if end {
				holders, err := w.Service.Apps().Holders(t.Context(), alice)
				if err != nil || len(holders) != 1 {
					t.Fatal(holders, err)
				}
				if _, err := w.Core.Sessions().EndPerson(t.Context(), holders[0].Subject, "revoked"); err != nil {
					t.Fatal(err)
				}
			}
			return w.call("POST", links+"email/login_status", object{"email_id": made.Get("email_id"), "request_origin_token": made.Get("request_origin_token")}, key)
		}
		refused(t, poll(true), 400, "magic_link_expired")
		w.Sleep(2 * time.Minute)
		want(t, poll(false), 200)
	}
}

// TestSessionLifetimeBoundsEverySession: what an app's owner has written holds
// for every call that makes a session or moves its end.
func TestSessionLifetimeBoundsEverySession(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.App.SessionLifetime = time.Hour })
	until := func(a apitest.Answer) time.Duration {
		began, ends := a.Get("session.started_at").(float64), a.Get("session.expires_at").(float64)
		return time.Unix(int64(ends), 0).Sub(time.Unix(int64(began), 0))
	}
	year := object{"token": w.token(alice), "session_expires_in": 525600}
	s := want(t, w.post(links+"verify", year), 200)
	if until(s) > time.Hour {
		t.Errorf("a link makes a session of %s", until(s))
	}
	w.Sleep(30 * time.Minute)
	token := s.Get("session_token")
	if a := want(t, w.post(root+"sessions/verify", object{"session_token": token, "session_expires_in": 525600}), 200); until(a) > time.Hour {
		t.Errorf("it is extended to %s", until(a))
	}
	if a := want(t, w.post(links+"verify", object{"token": w.token(alice), "session_token": token, "session_expires_in": 525600}), 200); until(a) > time.Hour {
		t.Errorf("another proof extends it to %s", until(a))
	}
	w.Sleep(31 * time.Minute)
	refused(t, w.post(root+"sessions/verify", object{"session_token": token}), 401, "invalid_session")
	t.Run("that was made before it was written", func(t *testing.T) {
		w := house(t, nil)
		s := want(t, w.post(links+"verify", object{"token": w.token(alice), "session_expires_in": 525600}), 200)
		w.App.SessionLifetime = time.Hour
		if a := w.post(root+"sessions/verify", object{"session_token": s.Get("session_token")}); until(a) > time.Hour {
			t.Errorf("it lives %s", until(a))
		}
		w.Sleep(61 * time.Minute)
		refused(t, w.post(root+"sessions/verify", object{"session_token": s.Get("session_token")}), 401, "invalid_session")
	})
}

// TestTwoDigitsBindALink: a link that somebody waits for counts only with what
// is shown to who waits.
func TestTwoDigitsBindALink(t *testing.T) {
	status := links + "email/login_status"
	begin := func(t *testing.T, key string) (w *world, made apitest.Answer, path string) {
		t.Helper()
		w = house(t, func(h *apitest.House) { h.App.AutoVerify = true })
		made = want(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": true}, key), 200)
		matches(t, "what is shown", "[0-9]{2}", made.String("verification_digits"))
		link := w.mailed()
		return w, made, link.Path + "?" + link.RawQuery
	}
	poll := func(w *world, made apitest.Answer, key string) apitest.Answer {
		return w.call("POST", status, object{"email_id": made.Get("email_id"), "request_origin_token": made.Get("request_origin_token")}, key)
	}
	wrong := func(made apitest.Answer) url.Values {
		if made.String("verification_digits") == "00" {
			return url.Values{"digits": {"01"}}
		}
		return url.Values{"digits": {"00"}}
	}
	for _, key := range []string{apitest.LivePub, apitest.LiveKey} {
		t.Run("three tries, with "+key[:2], func(t *testing.T) {
			w, made, path := begin(t, key)
			if page := want(t, w.Do("GET", path, nil), 200); strings.Contains(page.Text, ">"+made.String("verification_digits")+"<") || !strings.Contains(page.Text, `name="digits"`) {
				t.Errorf("page %s", page.Text)
			}
			for range 5 {
				want(t, w.Do("POST", path, url.Values{}), 422) // a click is no try, and signs nobody in
			}
			want(t, w.Do("POST", path, wrong(made)), 422)
			want(t, w.Do("POST", path, wrong(made)), 422)
			want(t, w.Do("POST", path, wrong(made)), 410)
			want(t, w.Do("POST", path, url.Values{"digits": {made.String("verification_digits")}}), 410)
			refused(t, poll(w, made, key), 400, "magic_link_expired")
		})
		t.Run("right, with "+key[:2], func(t *testing.T) {
			w, made, path := begin(t, key)
			want(t, w.Do("POST", path, wrong(made)), 422)
			refused(t, poll(w, made, key), 400, "magic_link_not_verified")
			want(t, w.Do("POST", path, url.Values{"digits": {made.String("verification_digits")}}), 200)
			want(t, poll(w, made, key), 200)
		})
	}
	t.Run("no other site presses", func(t *testing.T) {
		w, made, path := begin(t, apitest.LivePub)
		digits := url.Values{"digits": {made.String("verification_digits")}}
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.test"}, {"Origin", ""}} {
			refused(t, w.Do("POST", path, digits, headers...), 403, "forbidden")
		}
		want(t, w.Do("POST", path, digits, "Sec-Fetch-Site", "same-origin"), 200)
	})
	t.Run("no way around the page", func(t *testing.T) {
		w, made, _ := begin(t, apitest.LivePub)
		refused(t, w.post(links+"verify", object{"token": w.mailed().Query().Get("token")}), 400, "invalid_magic_token")
		refused(t, poll(w, made, apitest.LivePub), 400, "magic_link_not_verified")
	})
	t.Run("other links don't work there", func(t *testing.T) {
		w, _, _ := begin(t, apitest.LivePub)
		made, token := w.login(object{"email": bob})
		want(t, w.Do("POST", links+"hosted/shop?token="+token, url.Values{}), 410)
		want(t, w.Do("GET", links+"hosted/shop?token="+token, nil), 410)
		refused(t, poll(w, made, apitest.LiveKey), 400, "magic_link_not_verified")
	})
	t.Run("a page does not wait for what the app began", func(t *testing.T) {
		w, _, _ := begin(t, apitest.LivePub)
		made, token := w.login(object{"email": bob})
		want(t, w.post(links+"verify", object{"token": token}), 200)
		refused(t, poll(w, made, apitest.LivePub), 400, "invalid_request_origin_token")
		want(t, poll(w, made, apitest.LiveKey), 200)
	})
}

// TestAPublishableKeyMakesNoUserWhereAutoCreateIsOff: else a stranger makes the
// user whom all calls then sign in.
func TestAPublishableKeyMakesNoUserWhereAutoCreateIsOff(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.App.AutoCreate, h.App.AutoVerify = false, true })
	wishes := []struct {
		path string
		body object
	}{
		{otps + "email/login_or_create", object{"email": alice}},
		{loginOrCreate, object{"email": alice}},
		{loginOrCreate, object{"email": alice, "auto_verify": true}},
	}
	for _, wish := range wishes {
		refused(t, w.call("POST", wish.path, wish.body, apitest.LivePub), 404, "not_found")
	}
	w.Quiet()
	if sent := w.Mail.Sent(); len(sent) != 0 {
		t.Errorf("a mail went to somebody who is no user: %q", sent[0].Subject)
	}
	if a := want(t, w.post(users+"search", object{}), 200); len(a.Get("users").([]any)) != 0 {
		t.Errorf("somebody was made: %s", a.Text)
	}
	if a := want(t, w.post(loginOrCreate, object{"email": alice}), 200); a.Get("user_created") != true {
		t.Errorf("the app itself makes nobody: %s", a.Text)
	}
	for _, wish := range wishes {
		want(t, w.call("POST", wish.path, wish.body, apitest.LivePub), 200)
		w.Sleep(time.Hour)
	}
}

// TestAutoVerifyOff: what two digits bound counts no more once the app says so.
func TestAutoVerifyOff(t *testing.T) {
	for _, verified := range []bool{false, true} {
		w := house(t, func(h *apitest.House) { h.App.AutoVerify = true })
		made := want(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": true}, apitest.LivePub), 200)
		link, digits := w.mailed(), url.Values{"digits": {made.String("verification_digits")}}
		path := link.Path + "?" + link.RawQuery
		if verified {
			want(t, w.Do("POST", path, digits), 200)
		}
		w.App.AutoVerify = false
		for _, method := range []string{"GET", "POST"} {
			if a := w.Do(method, path, map[string]any{"POST": digits}[method]); a.Status != 410 {
				t.Errorf("the hosted page: %d %s", a.Status, a.Text)
			}
		}
		poll := object{"email_id": made.Get("email_id"), "request_origin_token": made.Get("request_origin_token")}
		refused(t, w.call("POST", links+"email/login_status", poll, apitest.LivePub), 400, "magic_link_expired")
	}
}
