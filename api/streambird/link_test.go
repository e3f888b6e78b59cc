package streambird_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

const loginOrCreate = links + "email/login_or_create"

func TestLoginOrCreate(t *testing.T) {
	w := house(t, nil)
	a, token := w.login(object{"email": alice})
	t.Run("STREAM-1", func(t *testing.T) {
		if m := w.LastMail(); m.To.String() != alice || m.Code != "" {
			t.Errorf("mail to %s with code %q", m.To, m.Code)
		}
		matches(t, "the token", "[0-9A-Za-z]{48}", token)
	})
	t.Run("STREAM-7 STREAM-13 STREAM-14 STREAM-16", func(t *testing.T) {
		if a.Get("user_created") != true || w.LastMail().Link != welcome+"?token="+token {
			t.Errorf("%s, link %s", a.Text, w.LastMail().Link)
		}
	})
	t.Run("STREAM-8 STREAM-9 STREAM-10 STREAM-29", func(t *testing.T) {
		matches(t, "user_id", "user_[0-9A-Za-z]{27}", a.String("user_id"))
		matches(t, "email_id", "email_[0-9A-Za-z]{27}", a.String("email_id"))
		matches(t, "request_origin_token", "[0-9A-Za-z]{128}", a.String("request_origin_token"))
		for _, field := range []string{"created_at", "updated_at"} {
			if at, _ := a.Get(field).(float64); at != float64(int64(at)) || at < 1_700_000_000 || at > 5_000_000_000 {
				t.Errorf("%s is %v", field, a.Get(field))
			}
		}
		if a.String("status") != "active" {
			t.Errorf("status %s", a.Text)
		}
	})
	t.Run("STREAM-6 STREAM-11 STREAM-12", func(t *testing.T) {
		b, _ := w.login(object{"email": "ALICE@Example.com"})
		if b.Get("user_created") != false || b.String("user_id") != a.String("user_id") || b.String("email_id") != a.String("email_id") {
			t.Errorf("answer %s", b.Text)
		}
		if !strings.HasPrefix(w.LastMail().Link, authenticate+"?token=") {
			t.Errorf("link %s", w.LastMail().Link)
		}
	})
	t.Run("STREAM-4", func(t *testing.T) {
		b := want(t, w.call("POST", loginOrCreate, object{"email": alice}, apitest.TestKey), 200)
		if b.Get("user_created") != true || b.String("user_id") == a.String("user_id") {
			t.Errorf("answer %s", b.Text)
		}
		refused(t, w.call("GET", users+a.String("user_id"), nil, apitest.TestKey), 404, "not_found")
		refused(t, w.call("GET", users+a.String("user_id"), nil, apitest.OtherKey), 404, "not_found")
		refused(t, w.call("POST", links+"verify", object{"token": token}, apitest.TestKey), 400, "invalid_magic_token")
	})
	t.Run("STREAM-28 STREAM-30", func(t *testing.T) {
		b, token := w.login(object{"email": bob, "requires_verification": true})
		if b.String("status") != "pending" {
			t.Errorf("answer %s", b.Text)
		}
		want(t, w.post(links+"verify", object{"token": token}), 200)
		u := want(t, w.get(users+b.String("user_id")), 200)
		if u.String("status") != "active" || u.Get("emails").([]any)[0].(object)["verified"] != true {
			t.Errorf("user %s", u.Text)
		}
	})
	t.Run("STREAM-35 STREAM-111", func(t *testing.T) {
		body := object{"email": "odd@example.com", "some_field": 1, "nested": object{"x": nil}}
		want(t, w.call("POST", "//v1//auth/magic_links/email/login_or_create/", body, apitest.LiveKey), 200)
	})
}

func TestLoginOrCreateIsRefused(t *testing.T) {
	w := house(t, nil)
	good := object{"email": alice}
	t.Run("STREAM-2 STREAM-45", func(t *testing.T) {
		refused(t, w.Do("POST", loginOrCreate, good), 401, "unauthorized")
		for _, key := range []string{"x", apitest.LiveKey[1:], apitest.LiveKey + "0", strings.ToUpper(apitest.LiveKey)} {
			refused(t, w.call("POST", loginOrCreate, good, key), 401, "unauthorized")
		}
		refused(t, w.Do("POST", loginOrCreate+"?api_key="+apitest.LiveKey, good), 401, "unauthorized")
	})
	t.Run("STREAM-3", func(t *testing.T) {
		for path, body := range map[string]object{
			links + "create": good, links + "email/invite": good, links + "verify": {"token": "x"}, users + "create": good, users + "search": {},
			otps + "verify": {"method_id": "email_x", "otp": "123456"}, otps + "email/send": good, otps + "sms/send": {"phone_number": phone},
			otps + "sms/login_or_create": {"phone_number": phone}, root + "sessions/verify": {"session_token": "x"},
		} {
			refused(t, w.call("POST", path, body, apitest.LivePub), 403, "forbidden")
		}
	})
	t.Run("STREAM-5", func(t *testing.T) {
		for _, body := range []any{object{}, object{"email": ""}, object{"email": nil}, nil, object{"email": 7}} {
			refused(t, w.post(loginOrCreate, body), 400, "invalid_request")
		}
		refused(t, w.post(loginOrCreate, object{"email": "a@b@c"}), 400, "invalid_email")
	})
	t.Run("STREAM-18 STREAM-19 STREAM-21 STREAM-22", func(t *testing.T) {
		w.user(bob) // known: the login URL counts
		for _, bad := range []string{
			"https://evil.example/login/verify", "https://custom.xyz.com/login/verify/", "https://custom.xyz.com/login/verify/more",
			"https://xyz.com/login/verify", "https://evilxyz.com/login/verify", "https://a.b.xyz.com/login/verify", "http://custom.xyz.com/login/verify",
			"https://custom.xyz.com@evil.example/login/verify", `https://evil.example\.xyz.com/login/verify`, "https://evil.example/.xyz.com/login/verify",
			"https://custom.xyz.com:444/login/verify", "https://custom.xyz.com/login%2fverify", "javascript:alert(1)", welcome,
		} {
			refused(t, w.post(loginOrCreate, object{"email": bob, "login_redirect_url": bad}), 400, "invalid_redirect_url")
		}
		refused(t, w.post(loginOrCreate, object{"email": alice, "registration_redirect_url": authenticate}), 400, "invalid_redirect_url")
	})
	t.Run("STREAM-17", func(t *testing.T) {
		bare := house(t, func(h *apitest.House) { h.App.Redirects = origin.Redirects{} })
		refused(t, bare.post(loginOrCreate, good), 400, "invalid_redirect_url")
		if err := bare.App.Redirects.Add(origin.RedirectRegistration, welcome); err != nil {
			t.Fatal(err)
		}
		want(t, bare.post(loginOrCreate, good), 200) // new: the login URL is not needed
		refused(t, bare.post(loginOrCreate, good), 400, "invalid_redirect_url")
	})
	t.Run("STREAM-24 STREAM-25", func(t *testing.T) {
		for _, field := range []string{"login_expires_in", "registration_expires_in"} {
			for _, bad := range []any{4, 10081, 5.5, -1, "60", 1e300} {
				refused(t, w.post(loginOrCreate, object{"email": alice, field: bad}), 400, "invalid_request")
			}
		}
	})
	t.Run("what is sent badly", func(t *testing.T) {
		for body, status := range map[string]int{
			`{"email":"a@example.com","email":"b@example.com"}`: 400, `{"email":"a@example.com"} {}`: 400, `[]`: 400, `null`: 400, `{`: 400,
			`{"email":"` + strings.Repeat("a", 70000) + `"}`: 413, `{"device_fingerprint":"x","email":"a@example.com"}`: 400,
			`{"device_fingerprint":{"ip":"nowhere"},"email":"a@example.com"}`: 400, `{"device_fingerprint":{"ip":7},"email":"a@example.com"}`: 400,
		} {
			if a := w.post(loginOrCreate, body); a.Status != status || a.Get("status_code") != float64(status) {
				t.Errorf("%.60s: %d %s", body, a.Status, a.Text)
			}
		}
		refused(t, w.Do("POST", loginOrCreate, "email=a@example.com", "Authorization", "Bearer "+apitest.LiveKey, "Content-Type", "application/x-www-form-urlencoded"), 415, "invalid_request")
		refused(t, w.get(loginOrCreate), 405, "method_not_allowed")
	})
	if w.Quiet(); len(w.Mail.Sent()) != 0 {
		t.Errorf("%d mails were sent", len(w.Mail.Sent()))
	}
	t.Run("STREAM-109", func(t *testing.T) {
		for range 5 {
			want(t, w.post(loginOrCreate, object{"email": carol}), 200)
		}
		if a := refused(t, w.post(loginOrCreate, object{"email": carol}), 429, "too_many_requests"); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}

func TestRedirects(t *testing.T) {
	w := house(t, nil)
	w.user(alice)
	t.Run("STREAM-20", func(t *testing.T) {
		want(t, w.post(loginOrCreate, object{"email": alice, "login_redirect_url": "https://custom.xyz.com/login/verify"}), 200)
		if !strings.HasPrefix(w.LastMail().Link, "https://custom.xyz.com/login/verify?token=") {
			t.Errorf("link %s", w.LastMail().Link)
		}
	})
	t.Run("STREAM-15", func(t *testing.T) {
		want(t, w.post(loginOrCreate, object{"email": alice, "login_redirect_url": authenticate + "?next=%2Fhome"}), 200)
		if !strings.HasPrefix(w.LastMail().Link, authenticate+"?next=%2Fhome&token=") {
			t.Errorf("link %s", w.LastMail().Link)
		}
	})
	t.Run("the documented sample", func(t *testing.T) {
		const local = "http://localhost:8081/authenticate"
		want(t, w.post(loginOrCreate, `{"email":"sandbox@streambird.io","expires_in":60,"login_redirect_url":"`+local+`","registration_redirect_url":"`+local+`"}`), 200)
		if !strings.HasPrefix(w.LastMail().Link, local+"?token=") {
			t.Errorf("link %s", w.LastMail().Link)
		}
	})
}

func TestLinkLifetimes(t *testing.T) {
	w := house(t, nil)
	alive := func(t *testing.T, body object, minutes int) {
		t.Helper()
		w.Sleep(24 * time.Hour)
		_, one := w.login(body)
		_, two := w.login(body)
		w.Sleep(time.Duration(minutes)*time.Minute - time.Second)
		want(t, w.post(links+"verify", object{"token": one}), 200)
		w.Sleep(2 * time.Second)
		refused(t, w.post(links+"verify", object{"token": two}), 400, "magic_link_expired")
	}
	w.user(alice)
	t.Run("STREAM-23 STREAM-43", func(t *testing.T) { alive(t, object{"email": alice}, 60) })
	t.Run("of the app", func(t *testing.T) {
		w.App.LinkLifetime = 20 * time.Minute
		alive(t, object{"email": alice}, 20)
		alive(t, object{"email": alice, "login_expires_in": 30}, 30)
		w.App.LinkLifetime = 0
	})
	t.Run("STREAM-24 STREAM-26", func(t *testing.T) {
		alive(t, object{"email": alice, "login_expires_in": 5, "registration_expires_in": 600}, 5)
		alive(t, object{"email": alice, "login_expires_in": 10080}, 10080)
	})
	t.Run("STREAM-27", func(t *testing.T) {
		alive(t, object{"email": alice, "expires_in": 30}, 30)
		alive(t, object{"email": alice, "expires_in": 99999, "login_expires_in": 20}, 20)
	})
	t.Run("STREAM-25 STREAM-26", func(t *testing.T) {
		_, token := w.login(object{"email": bob, "registration_expires_in": 10, "login_expires_in": 600})
		w.Sleep(10*time.Minute + time.Second)
		refused(t, w.post(links+"verify", object{"token": token}), 400, "magic_link_expired")
	})
}

func TestInvite(t *testing.T) {
	w := house(t, nil)
	a := want(t, w.post(links+"email/invite", object{"email": alice, "first_name": "Alice", "middle_name": "B.", "last_name": "Example"}), 200)
	t.Run("STREAM-46 STREAM-49", func(t *testing.T) {
		if a.String("status") != "pending" || a.Get("user_created") != true || a.String("email_id") == "" {
			t.Errorf("answer %s", a.Text)
		}
		m := w.LastMail()
		if !strings.HasPrefix(m.Link, "https://app.example.com/invited?token=") || !strings.Contains(m.Subject, "invited") {
			t.Errorf("%s: %s", m.Subject, m.Link)
		}
		refused(t, w.post(links+"email/invite", object{"email": alice, "invite_redirect_url": authenticate}), 400, "invalid_redirect_url")
		bare := house(t, func(h *apitest.House) { h.App.Redirects = origin.Redirects{} })
		refused(t, bare.post(links+"email/invite", object{"email": alice}), 400, "invalid_redirect_url")
	})
	t.Run("STREAM-47", func(t *testing.T) {
		u := want(t, w.get(users+a.String("user_id")), 200)
		if u.String("first_name") != "Alice" || u.String("middle_name") != "B." || u.String("last_name") != "Example" {
			t.Errorf("user %s", u.Text)
		}
	})
	t.Run("STREAM-48", func(t *testing.T) {
		token := w.mailed().Query().Get("token")
		w.Sleep(time.Hour - time.Minute)
		want(t, w.post(links+"verify", object{"token": token}), 200)
		for _, bad := range []int{4, 10081} {
			refused(t, w.post(links+"email/invite", object{"email": bob, "invite_expires_in": bad}), 400, "invalid_request")
		}
		want(t, w.post(links+"email/invite", object{"email": bob, "invite_expires_in": 5}), 200)
		token = w.mailed().Query().Get("token")
		w.Sleep(5*time.Minute + time.Second)
		refused(t, w.post(links+"verify", object{"token": token}), 400, "magic_link_expired")
	})
}

func TestCreateLink(t *testing.T) {
	w := house(t, nil)
	id := w.user(alice)
	a := want(t, w.post(links+"create", object{"user_id": id, "expires_in": 60}), 200)
	t.Run("STREAM-50 STREAM-54", func(t *testing.T) {
		matches(t, "token", "[0-9A-Za-z]{48}", a.String("token"))
		matches(t, "request_origin_token", "[0-9A-Za-z]{128}", a.String("request_origin_token"))
		matches(t, "email_id", "email_[0-9A-Za-z]{27}", a.String("email_id"))
		if w.Quiet(); a.String("user_id") != id || len(w.Mail.Sent()) != 0 {
			t.Errorf("%s, %d mails", a.Text, len(w.Mail.Sent()))
		}
	})
	t.Run("STREAM-55", func(t *testing.T) {
		v := want(t, w.post(links+"verify", object{"token": a.String("token")}), 200)
		if v.String("user_id") != id {
			t.Errorf("answer %s", v.Text)
		}
	})
	t.Run("STREAM-51", func(t *testing.T) {
		refused(t, w.post(links+"create", object{"user_id": "user_x"}), 404, "not_found")
		refused(t, w.post(links+"create", object{"user_id": strings.TrimPrefix(id, "user_")}), 404, "not_found")
		refused(t, w.post(links+"create", object{}), 400, "invalid_request")
	})
	t.Run("STREAM-52", func(t *testing.T) {
		if b := want(t, w.post(links+"create", object{"email": alice}), 200); b.String("user_id") != id {
			t.Errorf("answer %s", b.Text)
		}
		refused(t, w.post(links+"create", object{"email": "nobody@example.com"}), 404, "not_found")
	})
	t.Run("STREAM-53", func(t *testing.T) {
		for _, bad := range []int{4, 10081} {
			refused(t, w.post(links+"create", object{"email": alice, "expires_in": bad}), 400, "invalid_request")
		}
		b := want(t, w.post(links+"create", object{"email": alice, "expires_in": 5}), 200)
		w.Sleep(5*time.Minute + time.Second)
		refused(t, w.post(links+"verify", object{"token": b.String("token")}), 400, "magic_link_expired")
	})
}
