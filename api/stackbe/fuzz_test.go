package stackbe_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// FuzzCalls sends anything to every call: each answer is below 500, or says that
// it is not supported, and a refusal is one of the documented form.
func FuzzCalls(f *testing.F) {
	calls := []string{
		"POST " + auth + "magic-link", "POST " + auth + "verify", "GET " + auth + "verify", "GET " + auth + "session", "POST " + auth + "switch-organization",
		"GET /v1/customers", "POST /v1/customers", "GET /v1/entitlements", "GET /v1/entitlements/check/x", "POST " + orgs, "GET " + orgs, "POST " + orgs + "/invites/accept",
		"POST " + orgs + "/org_x/members", "PATCH " + orgs + "/org_x/members/cust_x", "POST " + orgs + "/org_x/invites", "PATCH /v1/customers/cust_x",
	}
	for i := range calls {
		f.Add(i, `{"email":"a@example.com","token":"x","name":"x","role":"owner","redirectUrl":"http://localhost/"}`, "token=x&redirect=true")
		f.Add(i, `{"email":{},"token":[],"metadata":{"a":[null]}}`, "customerId=cust_%zz&email=%00")
	}
	w := house(f, nil)
	f.Fuzz(func(t *testing.T, i int, body, query string) {
		method, path, _ := strings.Cut(calls[(i%len(calls)+len(calls))%len(calls)], " ")
		if strings.ContainsAny(query, " \x7f#") || strings.IndexFunc(query, func(r rune) bool { return r < ' ' }) >= 0 {
			return // no HTTP client sends it
		}
		w.T = t
		w.Sleep(1 << 37) // two minutes: no limit stands in the way
		a := w.Do(method, path+"?"+query, body, bearer(apitest.LiveKey)...)
		if a.Status >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
		if a.Status >= 400 && a.Get("statusCode") != float64(a.Status) && !strings.Contains(a.Text, "<!doctype html>") {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
	})
}
