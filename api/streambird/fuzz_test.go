package streambird_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// FuzzCalls sends anything to every call: each answer is below 500, and a refusal is one of the documented form.
func FuzzCalls(f *testing.F) {
	calls := []string{
		"POST " + loginOrCreate, "POST " + links + "email/invite", "POST " + links + "create", "POST " + links + "verify", "POST " + links + "email/login_status",
		"POST " + otps + "email/login_or_create", "POST " + otps + "sms/send", "POST " + otps + "verify", "POST " + verifyPath, "DELETE " + deletePath,
		"GET " + root + "sessions/list", "GET " + root + "jwks/default", "GET " + links + "hosted/shop", "POST " + users + "create", "POST " + users + "search",
		"PUT " + users + "user_x/update", "DELETE " + users + "emails/x/delete", "POST " + root + "sdk/users/update",
	}
	for i := range calls {
		f.Add(i, `{"email":"a@example.com","phone_number":"+14155550123","token":"x","method_id":"email_x","otp":"123456","session_token":"x","filters":{"fields":[{"field":"email","operator":"in","values":[1,true,"x"]}]}}`, "token=x&user_id=user_x")
		f.Add(i, `{"email":{},"token":[],"device_fingerprint":{"ip":"::1%x"},"filters":{"fields":[null]}}`, "api_key=%zz&email=%00")
	}
	w := house(f, nil)
	f.Fuzz(func(t *testing.T, i int, body, query string) {
		method, path, _ := strings.Cut(calls[(i%len(calls)+len(calls))%len(calls)], " ")
		if strings.ContainsAny(query, " \x7f#") || strings.IndexFunc(query, func(r rune) bool { return r < ' ' }) >= 0 {
			return // no HTTP client sends it
		}
		w.T = t
		w.Sleep(1 << 37) // two minutes: no limit stands in the way
		a := w.Do(method, path+"?"+query, body, "Authorization", "Bearer "+apitest.LiveKey)
		if a.Status >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
		if a.Status >= 400 && a.Get("status_code") != float64(a.Status) && !strings.Contains(a.Text, "<!doctype html>") {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
	})
}
