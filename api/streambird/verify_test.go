package streambird_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

func TestVerifyLink(t *testing.T) {
	w := house(t, nil)
	a, token := w.login(object{"email": alice})
	v := want(t, w.post(links+"verify", object{"token": token}), 200)
	t.Run("STREAM-36", func(t *testing.T) {
		if v.String("method_id") != a.String("email_id") || v.String("method_type") != "email" || v.String("user_id") != a.String("user_id") {
			t.Errorf("answer %s", v.Text)
		}
	})
	t.Run("STREAM-37", func(t *testing.T) {
		if len(v.JSON) != 3 {
			t.Errorf("more than three fields: %s", v.Text)
		}
		if l := want(t, w.get(root+"sessions/list?user_id="+v.String("user_id")), 200); len(l.Get("sessions").([]any)) != 0 {
			t.Errorf("sessions %s", l.Text)
		}
	})
	t.Run("STREAM-44", func(t *testing.T) {
		refused(t, w.post(links+"verify", object{"token": token}), 400, "invalid_magic_token")
		token := w.token(bob)
		var wg sync.WaitGroup
		var mu sync.Mutex
		accepted := 0
		for range 8 {
			wg.Go(func() {
				if w.post(links+"verify", object{"token": token}).Status == 200 {
					mu.Lock()
					accepted++
					mu.Unlock()
				}
			})
		}
		if wg.Wait(); accepted != 1 {
			t.Errorf("accepted %d times", accepted)
		}
	})
	t.Run("STREAM-42", func(t *testing.T) {
		for _, bad := range []string{"x", strings.Repeat("x", 48), strings.Repeat("é", 24)} {
			r := refused(t, w.post(links+"verify", object{"token": bad}), 400, "invalid_magic_token")
			if r.String("error_message") != "Invalid magic link format, magic link missing or invalid." {
				t.Errorf("message %s", r.Text)
			}
		}
		refused(t, w.post(links+"verify", object{}), 400, "invalid_request")
	})
	t.Run("STREAM-38", func(t *testing.T) {
		s := w.signIn(alice)
		matches(t, "session_token", "[0-9A-Za-z]{64}", s.String("session_token"))
		if !strings.HasPrefix(s.String("session_jwt"), "eyJ") || s.String("session.user_id") != a.String("user_id") {
			t.Errorf("answer %s", s.Text)
		}
		if left := s.Get("session.expires_at").(float64) - s.Get("session.started_at").(float64); left != 3600 {
			t.Errorf("it lives %v s", left)
		}
	})
	t.Run("STREAM-39", func(t *testing.T) {
		token := w.token(alice)
		for _, bad := range []any{4, 525601, "60", 0} {
			refused(t, w.post(links+"verify", object{"token": token, "session_expires_in": bad}), 400, "invalid_request")
		}
		want(t, w.post(links+"verify", object{"token": token, "session_expires_in": 525600}), 200)
		want(t, w.post(links+"verify", object{"token": w.token(alice), "session_expires_in": 5}), 200)
	})
	t.Run("STREAM-40 STREAM-41", func(t *testing.T) {
		s := w.signIn("multi@example.com")
		for field, id := range map[string]string{"session_token": s.String("session_token"), "session_jwt": s.String("session_jwt")} {
			v := want(t, w.post(links+"verify", object{"token": w.token("multi@example.com"), "session_expires_in": 600, field: id}), 200)
			if token := v.String("session_token"); v.String("session.id") != s.String("session.id") || token != map[string]string{"session_token": id}[field] {
				t.Errorf("%s: another session: %s", field, v.Text)
			}
			if left := v.Get("session.expires_at").(float64) - float64(w.Now().Unix()); left < 35_000 || left > 36_000 {
				t.Errorf("%s: %v s are left", field, left)
			}
		}
		want(t, w.post(otps+"email/send", object{"email": "multi@example.com"}), 200)
		method := s.String("method_id")
		v := want(t, w.post(otps+"verify", object{"method_id": method, "otp": w.LastMail().Code, "session_jwt": s.String("session_jwt")}), 200)
		if v.Get("session_token") != nil || !strings.HasPrefix(v.String("session_jwt"), "eyJ") {
			t.Errorf("a JWT is good for 300 s and gives: %s", v.Text)
		}
		if factors := v.Get("session.factors").([]any); len(factors) != 2 || v.String("session.id") != s.String("session.id") {
			t.Errorf("factors %v", factors)
		}
		token := w.token("multi@example.com")
		refused(t, w.post(links+"verify", object{"token": token, "session_token": strings.Repeat("x", 64)}), 401, "invalid_session")
		want(t, w.post(links+"verify", object{"token": token}), 200) // nothing was spent
	})
}

func TestFingerprints(t *testing.T) {
	device := object{"ip": "203.0.113.7", "user_agent": "Browser/1"}
	others := map[string]object{
		"ip":         {"ip": "203.0.113.8", "user_agent": "Browser/1"},
		"user_agent": {"ip": "203.0.113.7", "user_agent": "Browser/2"},
	}
	make := func(w *world) string {
		w.user(alice)
		return want(w.T, w.post(links+"create", object{"email": alice, "device_fingerprint": device}), 200).String("token")
	}
	t.Run("STREAM-31 STREAM-32 STREAM-33", func(t *testing.T) {
		for _, by := range [][]string{{"ip"}, {"user_agent"}, {"ip", "user_agent"}} {
			w := house(t, nil)
			token := make(w)
			for _, part := range by {
				body := object{"token": token, "match_device_fingerprint": by, "device_fingerprint": others[part]}
				refused(t, w.post(links+"verify", body), 400, "device_fingerprint_mismatch")
			}
			refused(t, w.post(links+"verify", object{"token": token, "match_device_fingerprint": by}), 400, "device_fingerprint_mismatch")
			want(t, w.post(links+"verify", object{"token": token, "match_device_fingerprint": by, "device_fingerprint": device}), 200)
		}
	})
	t.Run("STREAM-34", func(t *testing.T) {
		w := house(t, nil)
		want(t, w.post(links+"verify", object{"token": make(w), "device_fingerprint": others["ip"]}), 200)
		w.App.Fingerprint = apps.FingerprintUse{IP: true}
		token := make(w)
		refused(t, w.post(links+"verify", object{"token": token, "device_fingerprint": others["ip"]}), 400, "device_fingerprint_mismatch")
		want(t, w.post(links+"verify", object{"token": token, "device_fingerprint": others["user_agent"]}), 200)
		refused(t, w.post(links+"verify", object{"token": token, "match_device_fingerprint": []string{"shoe"}}), 400, "invalid_request")
	})
	t.Run("the odd key of one client", func(t *testing.T) {
		w := house(t, nil)
		w.user(alice)
		token := want(t, w.post(links+"create", object{"email": alice, "DeviceFingerprint": device}), 200).String("token")
		refused(t, w.post(links+"verify", object{"token": token, "match_device_fingerprint": []string{"ip"}, "DeviceFingerprint": others["ip"]}), 400, "device_fingerprint_mismatch")
	})
	t.Run("STREAM-71", func(t *testing.T) {
		w := house(t, nil)
		w.user(alice)
		a := want(t, w.post(otps+"email/send", object{"email": alice}), 200)
		v := want(t, w.post(otps+"verify", object{"method_id": a.String("email_id"), "otp": w.LastMail().Code, "session_expires_in": 60, "device_fingerprint": device}), 200)
		if v.String("session.device_fingerprint.ip") != "203.0.113.7" || v.String("session.device_fingerprint.user_agent") != "Browser/1" {
			t.Errorf("session %s", v.Text)
		}
	})
	t.Run("who names the end user is counted for that address", func(t *testing.T) {
		w := house(t, func(h *apitest.House) { h.Config.Limits.PerClient = []limit.Rate{{Count: 2, Per: time.Minute}} })
		ask := func(email string) int {
			return w.post(loginOrCreate, object{"email": email, "device_fingerprint": device}).Status
		}
		if a, b, c := ask(alice), ask(bob), ask(carol); a != 200 || b != 200 || c != 429 {
			t.Errorf("answers %d %d %d", a, b, c)
		}
		want(t, w.post(loginOrCreate, object{"email": carol}), 200)
	})
}

func TestPolling(t *testing.T) {
	w := house(t, nil)
	ask := func(t *testing.T) (body object, token string) {
		t.Helper()
		w.Sleep(time.Hour)
		a, token := w.login(object{"email": alice})
		return object{"email_id": a.String("email_id"), "request_origin_token": a.String("request_origin_token")}, token
	}
	status := links + "email/login_status"
	t.Run("STREAM-56 STREAM-57 STREAM-60", func(t *testing.T) {
		body, token := ask(t)
		refused(t, w.post(status, body), 400, "magic_link_not_verified")
		want(t, w.post(links+"verify", object{"token": token}), 200)
		a := want(t, w.post(status, body), 200)
		matches(t, "session_token", "[0-9A-Za-z]{64}", a.String("session_token"))
		if a.String("status") != "active" || !strings.HasPrefix(a.String("session_jwt"), "eyJ") || !strings.HasPrefix(a.String("user_id"), "user_") {
			t.Errorf("answer %s", a.Text)
		}
		want(t, w.post(root+"sessions/verify", object{"session_token": a.String("session_token")}), 200)
		refused(t, w.post(status, body), 400, "invalid_request_origin_token")
	})
	t.Run("STREAM-58", func(t *testing.T) {
		body, _ := ask(t)
		refused(t, w.post(status, object{"email_id": body["email_id"], "request_origin_token": strings.Repeat("x", 128)}), 400, "invalid_request_origin_token")
		refused(t, w.post(status, object{"email_id": "email_x", "request_origin_token": body["request_origin_token"]}), 400, "invalid_request_origin_token")
		refused(t, w.call("POST", status, body, apitest.TestKey), 400, "invalid_request_origin_token")
		refused(t, w.post(status, object{"email_id": "email_x"}), 400, "invalid_request")
	})
	t.Run("STREAM-59", func(t *testing.T) {
		body, _ := ask(t)
		w.Sleep(time.Hour)
		refused(t, w.post(status, body), 400, "magic_link_expired")
	})
	t.Run("STREAM-61", func(t *testing.T) {
		w.Sleep(time.Hour)
		w.App.AutoVerify = true
		a := want(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": true}, apitest.LivePub), 200)
		digits := url.Values{"digits": {a.String("verification_digits")}}
		link := w.mailed()
		if !strings.HasPrefix(link.String(), w.Server.URL) {
			t.Fatalf("link %s", link)
		}
		body := object{"email_id": a.String("email_id"), "request_origin_token": a.String("request_origin_token")}
		path := link.Path + "?" + link.RawQuery
		for range 2 { // a scanner opens it, then the person
			p := want(t, w.Do("GET", path, nil, "Accept", "text/html"), 200)
			if !strings.Contains(p.Text, "<button") || !strings.Contains(p.Text, alice) || !strings.Contains(p.Header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("page %s", p.Text)
			}
		}
		refused(t, w.call("POST", status, body, apitest.LivePub), 400, "magic_link_not_verified")
		if p := want(t, w.Do("POST", path, digits), 200); !strings.Contains(p.Text, "signed in") {
			t.Errorf("page %s", p.Text)
		}
		want(t, w.call("POST", status, body, apitest.LivePub), 200)
		want(t, w.Do("POST", path, digits), 410)
		want(t, w.Do("GET", path, nil), 410)
		want(t, w.Do("GET", link.Path+"?token=x", nil), 410)
		refused(t, w.Do("GET", links+"hosted/nosuch?token=x", nil), 404, "not_found")
	})
	t.Run("STREAM-62", func(t *testing.T) {
		w.Sleep(time.Hour)
		want(t, w.call("POST", loginOrCreate, object{"email": alice, "auto_verify": false}, apitest.LivePub), 200)
		if link := w.mailed(); !strings.HasPrefix(link.String(), authenticate) {
			t.Errorf("link %s", link)
		}
		want(t, w.post(links+"verify", object{"token": w.mailed().Query().Get("token")}), 200)
	})
}

func TestCodes(t *testing.T) {
	w := house(t, nil)
	a := want(t, w.post(otps+"email/login_or_create", object{"email": alice}), 200)
	t.Run("STREAM-63 STREAM-64", func(t *testing.T) {
		matches(t, "the code", "[0-9]{6}", w.LastMail().Code)
		if a.Get("user_created") != true || a.String("status") != "active" || !strings.HasPrefix(a.String("user_id"), "user_") || !strings.HasPrefix(a.String("email_id"), "email_") {
			t.Errorf("answer %s", a.Text)
		}
	})
	t.Run("STREAM-69", func(t *testing.T) {
		v := want(t, w.post(otps+"verify", object{"method_id": a.String("email_id"), "otp": w.LastMail().Code}), 200)
		if v.String("method_id") != a.String("email_id") || v.String("method_type") != "email" || v.String("user_id") != a.String("user_id") || len(v.JSON) != 3 {
			t.Errorf("answer %s", v.Text)
		}
		refused(t, w.post(otps+"verify", object{"method_id": a.String("email_id"), "otp": w.LastMail().Code}), 400, "invalid_otp")
	})
	t.Run("STREAM-66", func(t *testing.T) {
		s := want(t, w.post(otps+"email/send", object{"email": alice}), 200)
		if len(s.JSON) != 2 || s.String("user_id") != a.String("user_id") || s.String("email_id") != a.String("email_id") {
			t.Errorf("answer %s", s.Text)
		}
		refused(t, w.post(otps+"email/send", object{"email": "nobody@example.com"}), 404, "not_found")
		refused(t, w.post(otps+"sms/send", object{"phone_number": phone}), 404, "not_found")
	})
	send := func(email string, minutes any) (method, code string) {
		w.Sleep(24 * time.Hour)
		body := object{"email": email}
		if minutes != nil {
			body["expires_in"] = minutes
		}
		b := want(w.T, w.post(otps+"email/login_or_create", body), 200)
		return b.String("email_id"), w.LastMail().Code
	}
	t.Run("STREAM-65", func(t *testing.T) {
		for minutes, lives := range map[any]time.Duration{nil: time.Minute, 1: time.Minute, 10: 10 * time.Minute} {
			method, code := send(alice, minutes)
			w.Sleep(lives + time.Second)
			refused(t, w.post(otps+"verify", object{"method_id": method, "otp": code}), 400, "otp_expired")
			method, code = send(alice, minutes)
			w.Sleep(lives - time.Second)
			want(t, w.post(otps+"verify", object{"method_id": method, "otp": code}), 200)
		}
		for _, bad := range []any{0, 11, "1", 1.5} {
			refused(t, w.post(otps+"email/login_or_create", object{"email": alice, "expires_in": bad}), 400, "invalid_request")
		}
	})
	t.Run("STREAM-70", func(t *testing.T) {
		method, code := send(alice, 10)
		v := want(t, w.post(otps+"verify", object{"method_id": method, "otp": code, "session_expires_in": 60}), 200)
		if v.Get("session.factors").([]any)[0].(object)["delivery_channel"] != "email" || v.String("session_token") == "" {
			t.Errorf("answer %s", v.Text)
		}
	})
	t.Run("STREAM-72", func(t *testing.T) {
		method, code := send(bob, 10)
		wrong := "000000"
		if code == wrong {
			wrong = "000001"
		}
		refused(t, w.post(otps+"verify", object{"method_id": method, "otp": "12345"}), 400, "invalid_otp")
		for range 4 {
			refused(t, w.post(otps+"verify", object{"method_id": method, "otp": wrong}), 400, "invalid_otp")
		}
		refused(t, w.post(otps+"verify", object{"method_id": method, "otp": wrong}), 429, "too_many_requests")
		refused(t, w.post(otps+"verify", object{"method_id": method, "otp": code}), 429, "too_many_requests")
	})
	t.Run("STREAM-73", func(t *testing.T) {
		method, first := send(carol, 10)
		want(t, w.post(otps+"email/login_or_create", object{"email": carol, "expires_in": 10}), 200)
		second := w.LastMail().Code
		if first != second {
			if a := w.post(otps+"verify", object{"method_id": method, "otp": first}); a.Status == 200 {
				t.Error("the older code is good beside a newer one")
			}
		}
		want(t, w.post(otps+"verify", object{"method_id": method, "otp": second}), 200)
	})
	t.Run("refused", func(t *testing.T) {
		refused(t, w.post(otps+"verify", object{"method_id": "email_x", "otp": "123456"}), 400, "invalid_otp")
		refused(t, w.post(otps+"verify", object{"method_id": "email_x"}), 400, "invalid_request")
		refused(t, w.post(otps+"verify", object{"otp": "123456"}), 400, "invalid_request")
	})
}

func TestTextMessages(t *testing.T) {
	w := house(t, nil)
	a := want(t, w.post(otps+"sms/login_or_create", object{"phone_number": phone}), 200)
	t.Run("STREAM-67", func(t *testing.T) {
		matches(t, "phone_number_id", "pn_[0-9A-Za-z]{27}", a.String("phone_number_id"))
		if a.Get("user_created") != true || a.String("status") != "active" || w.LastText().To.String() != phone {
			t.Errorf("%s, text to %s", a.Text, w.LastText().To)
		}
		v := want(t, w.post(otps+"verify", object{"method_id": a.String("phone_number_id"), "otp": w.LastText().Code, "session_expires_in": 60}), 200)
		f := v.Get("session.factors").([]any)[0].(object)
		if v.String("method_type") != "phone_number" || f["delivery_channel"] != "sms" || f["method"].(object)["phone_number"] != phone {
			t.Errorf("answer %s", v.Text)
		}
		s := want(t, w.post(otps+"sms/send", object{"phone_number": phone}), 200)
		if s.String("phone_number_id") != a.String("phone_number_id") || len(s.JSON) != 2 {
			t.Errorf("answer %s", s.Text)
		}
	})
	t.Run("STREAM-68", func(t *testing.T) {
		for _, bad := range []string{"4155550123", "+04155550123", "+1 415 555 0123", "+1", "+123456789012345678", "phone", "++14155550123"} {
			refused(t, w.post(otps+"sms/login_or_create", object{"phone_number": bad}), 400, "invalid_phone_number")
		}
		refused(t, w.post(otps+"sms/login_or_create", object{}), 400, "invalid_request")
	})
}

// TestStrangersLockNobodyOut: whoever has the publishable key has codes sent to
// anybody, and gives them to the app's page with the same method_id.
func TestStrangersLockNobodyOut(t *testing.T) {
	const home, away = "192.0.2.1", "203.0.113.66"
	begin := func(w *world, from string) string {
		w.From(from)
		a := w.call("POST", otps+"email/login_or_create", object{"email": alice, "expires_in": 10}, apitest.LivePub)
		return want(w.T, a, 200).String("email_id")
	}
	verify := func(w *world, method, otp, from string) apitest.Answer {
		in := object{"method_id": method, "otp": otp}
		if from != "" {
			in["device_fingerprint"] = object{"ip": from}
		}
		return w.post(otps+"verify", in)
	}
	wrong := func(code string) string {
		if code == "000000" {
			return "000001"
		}
		return "000000"
	}
	t.Run("a stranger asks for a code, too", func(t *testing.T) {
		for _, told := range []string{home, ""} {
			w := house(t, nil)
			method := begin(w, home)
			code := w.LastMail().Code
			w.Sleep(61 * time.Second)
			begin(w, away)
			want(t, verify(w, method, code, told), 200)
		}
	})
	t.Run("a stranger guesses", func(t *testing.T) {
		w := house(t, nil)
		method := begin(w, home)
		code := w.LastMail().Code
		for range 12 {
			verify(w, method, wrong(code), away)
		}
		want(t, verify(w, method, code, home), 200)
	})
	t.Run("strangers use the budget up", func(t *testing.T) {
		w := house(t, nil)
		for i := range 2 {
			from := fmt.Sprintf("203.0.113.%d", i)
			method := begin(w, from)
			for range 5 {
				verify(w, method, wrong(w.LastMail().Code), from)
			}
			w.Sleep(61 * time.Second)
		}
		method := begin(w, home)
		if w.LastMail().Code != "" {
			t.Fatal("the mail has a code")
		}
		link := strings.TrimPrefix(w.LastMail().Link, w.Origin.String())
		pressed := w.Do("POST", link, nil, "Sec-Fetch-Site", "same-origin")
		found := regexp.MustCompile(`>(\d{6})<`).FindStringSubmatch(pressed.Text)
		if found == nil {
			t.Fatalf("%d %s", pressed.Status, pressed.Text)
		}
		want(t, verify(w, method, found[1], home), 200)
		w.Sleep(61 * time.Second)
		begin(w, home) // a network that has proved the address counts apart
		if w.LastMail().Code == "" {
			t.Error("the mail has no code where the person has signed in before")
		}
	})
}

// A phone goes from one network to another between asking and typing.
func TestCodesCountFromAnyNetwork(t *testing.T) {
	w := house(t, nil)
	on := func(ip string) object { return object{"ip": ip} }
	ask := func(ip string) (method, code string) {
		w.Sleep(2 * time.Minute)
		a := want(t, w.post(otps+"email/login_or_create", object{"email": alice, "device_fingerprint": on(ip)}), 200)
		return a.String("email_id"), w.LastMail().Code
	}
	verify := func(method, code, ip string) apitest.Answer {
		return w.post(otps+"verify", object{"method_id": method, "otp": code, "device_fingerprint": on(ip)})
	}
	const mobile, home = "192.0.2.1", "198.51.100.1"
	method, code := ask(home)
	want(t, verify(method, code, home), 200)
	_, code = ask(mobile)
	want(t, verify(method, code, home), 200) // where one was used
	_, former := ask(home)
	_, code = ask(mobile)
	want(t, verify(method, code, home), 200) // where another one waits
	refused(t, verify(method, former, home), 400, "invalid_otp")
	_, code = ask(mobile)
	refused(t, verify(method, wrongCode(code), home), 400, "invalid_otp")
	want(t, verify(method, code, mobile), 200)
}

func wrongCode(code string) string {
	if code[0] == '1' {
		return "2" + code[1:]
	}
	return "1" + code[1:]
}
