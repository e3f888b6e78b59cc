package stackbe_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestCustomers(t *testing.T) {
	w := house(t, nil)
	meta := object{"tier": "gold", "nested": object{"list": []any{1.0, "two", nil}}}
	a := w.post("/v1/customers", object{"email": alice, "name": "Alice Example", "metadata": meta})
	id := a.String("id")
	t.Run("STACKBE-97 STACKBE-98 STACKBE-99", func(t *testing.T) {
		want(t, a, 201)
		if !regexp.MustCompile(`^cust_[0-9A-Za-z]{27}$`).MatchString(id) || a.String("email") != alice || a.String("name") != "Alice Example" {
			t.Errorf("answer %s", a.Text)
		}
		if _, err := time.Parse(time.RFC3339, a.String("createdAt")); err != nil {
			t.Error(err)
		}
		if got, err := json.Marshal(a.Get("metadata")); err != nil || string(got) != `{"nested":{"list":[1,"two",null]},"tier":"gold"}` {
			t.Errorf("metadata %s %v", got, err)
		}
		b := want(t, w.post("/v1/customers", object{"email": bob}), 201)
		if b.Get("name") != nil || len(b.Get("metadata").(object)) != 0 {
			t.Errorf("answer %s", b.Text)
		}
	})
	t.Run("STACKBE-100", func(t *testing.T) {
		b := want(t, w.post("/v1/customers", object{"email": "ALICE@example.com", "name": "Somebody else"}), 200)
		if b.String("id") != id || b.String("name") != "Alice Example" {
			t.Errorf("answer %s", b.Text)
		}
	})
	t.Run("STACKBE-96", func(t *testing.T) {
		for _, path := range []string{"/v1/customers/" + id, "/v1/customers?email=" + alice} {
			if b := want(t, w.get(path), 200); b.String("id") != id {
				t.Errorf("%s: %s", path, b.Text)
			}
		}
		b := want(t, w.call("PATCH", "/v1/customers/"+id, object{"name": "Alice B.", "plan": "pro", "metadata": object{"a": 1}}, apitest.LiveKey), 200)
		if b.String("name") != "Alice B." || b.Get("metadata.a") != 1.0 || b.String("email") != alice || b.String("plan") != "pro" {
			t.Errorf("answer %s", b.Text)
		}
		b = want(t, w.call("PATCH", "/v1/customers/"+id, object{}, apitest.LiveKey), 200)
		if b.String("name") != "Alice B." {
			t.Errorf("answer %s", b.Text)
		}
	})
	t.Run("a new address", func(t *testing.T) {
		want(t, w.call("PATCH", "/v1/customers/"+id, object{"email": "new@example.com"}, apitest.LiveKey), 200)
		refused(t, w.get("/v1/customers?email="+alice), 404, "CUSTOMER_NOT_FOUND")
		if b := w.get("/v1/customers?email=new@example.com"); b.String("id") != id {
			t.Errorf("answer %s", b.Text)
		}
		refused(t, w.call("PATCH", "/v1/customers/"+id, object{"email": bob}, apitest.LiveKey), 400, "VALIDATION_ERROR")
	})
	t.Run("refused", func(t *testing.T) {
		for path, code := range map[string]string{"/v1/customers/cust_x": "CUSTOMER_NOT_FOUND", "/v1/customers/" + strings.TrimPrefix(id, "cust_"): "CUSTOMER_NOT_FOUND", "/v1/customers?email=nobody@example.com": "CUSTOMER_NOT_FOUND"} {
			refused(t, w.get(path), 404, code)
		}
		refused(t, w.get("/v1/customers"), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.get("/v1/customers?email=x"), 400, "INVALID_EMAIL")
		refused(t, w.get("/v1/customers?email=a@example.com&email=b@example.com"), 400, "VALIDATION_ERROR")
		refused(t, w.post("/v1/customers", object{"name": "x"}), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.post("/v1/customers", object{"email": alice, "metadata": "x"}), 400, "VALIDATION_ERROR")
		refused(t, w.post("/v1/customers", object{"email": "big@example.com", "metadata": object{"x": strings.Repeat("x", 20000)}}), 400, "VALIDATION_ERROR")
		refused(t, w.call("PATCH", "/v1/customers/"+id, object{"plan": "nosuch"}, apitest.LiveKey), 400, "PLAN_NOT_FOUND")
		refused(t, w.call("PATCH", "/v1/customers/cust_x", object{"name": "x"}, apitest.LiveKey), 404, "CUSTOMER_NOT_FOUND")
		refused(t, w.Do("GET", "/v1/customers/"+id, nil), 401, "UNAUTHORIZED")
	})
}

func TestEntitlements(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.Alone = true })
	id := w.customer(alice)
	check := func(t *testing.T, feature string) apitest.Answer {
		t.Helper()
		return want(t, w.get("/v1/entitlements/check/"+feature+"?customerId="+id), 200)
	}
	t.Run("STACKBE-90 STACKBE-91", func(t *testing.T) {
		a := want(t, w.get("/v1/entitlements?customerId="+id), 200)
		if a.String("planId") != "free" || a.String("planName") != "Free" || a.String("status") != "active" || a.Get("entitlements.seats") != 3.0 || a.Get("entitlements.export") != false || len(a.Get("entitlements.regions").([]any)) != 2 {
			t.Errorf("answer %s", a.Text)
		}
		if _, there := a.JSON["currentPeriodEnd"]; !there {
			t.Errorf("no currentPeriodEnd: %s", a.Text)
		}
	})
	t.Run("STACKBE-92", func(t *testing.T) {
		if a := check(t, "chat"); a.Get("hasAccess") != true || a.Get("value") != true {
			t.Error(a.Text)
		}
		if a := check(t, "export"); a.Get("hasAccess") != false || a.Get("value") != false {
			t.Error(a.Text)
		}
	})
	t.Run("STACKBE-93", func(t *testing.T) {
		if a := check(t, "seats"); a.Get("hasAccess") != true || a.Get("value") != 3.0 {
			t.Error(a.Text)
		}
		if a := check(t, "none"); a.Get("hasAccess") != false || a.Get("value") != 0.0 {
			t.Error(a.Text)
		}
	})
	t.Run("STACKBE-94", func(t *testing.T) {
		if a := check(t, "regions"); a.Get("hasAccess") != true || a.Get("value").([]any)[0] != "eu" {
			t.Error(a.Text)
		}
	})
	t.Run("STACKBE-95", func(t *testing.T) {
		if a := check(t, "nosuch"); a.Get("hasAccess") != false || a.String("code") != "FEATURE_NOT_AVAILABLE" {
			t.Error(a.Text)
		}
		bare := house(t, func(h *apitest.House) { h.App.Plans = nil })
		nobody := bare.customer(alice)
		if a := want(t, bare.get("/v1/entitlements/check/seats?customerId="+nobody), 200); a.Get("hasAccess") != false || a.String("code") != "NO_ACTIVE_SUBSCRIPTION" {
			t.Error(a.Text)
		}
		if a := want(t, bare.get("/v1/entitlements?customerId="+nobody), 200); a.Get("planId") != nil || a.Get("status") != nil {
			t.Error(a.Text)
		}
	})
	t.Run("STACKBE-74 STACKBE-75", func(t *testing.T) {
		org := w.organization(id, "Acme")
		want(t, w.call("PATCH", orgs+"/"+org, object{"plan": "pro"}, apitest.LiveKey), 200)
		jwt := w.session(alice)
		seats := func(path, token string) any {
			return want(t, w.call("GET", path, nil, token), 200).Get("entitlements.seats")
		}
		if got := seats("/v1/entitlements", jwt); got != 3.0 {
			t.Errorf("outside of the organization: %v seats", got)
		}
		inOrg := want(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, jwt), 200).String("sessionToken")
		if got := seats("/v1/entitlements", inOrg); got != 50.0 {
			t.Errorf("in the organization: %v seats", got)
		}
		if got := seats("/v1/entitlements?customerId="+id+"&organizationId="+org, apitest.LiveKey); got != 50.0 {
			t.Errorf("with a key, in the organization: %v seats", got)
		}
		s := w.call("GET", auth+"session", nil, inOrg)
		if s.Get("entitlements.features.seats") != 50.0 || s.String("entitlements.planName") != "pro" {
			t.Error(s.Text)
		}
		refused(t, w.get("/v1/entitlements?customerId="+w.customer(bob)+"&organizationId="+org), 403, "UNAUTHORIZED")
	})
	t.Run("refused", func(t *testing.T) {
		refused(t, w.get("/v1/entitlements"), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.get("/v1/entitlements?customerId=cust_x"), 404, "CUSTOMER_NOT_FOUND")
		refused(t, w.Do("GET", "/v1/entitlements?customerId="+id, nil), 401, "UNAUTHORIZED")
		refused(t, w.call("GET", "/v1/entitlements", nil, "eyJ.eyJ.x"), 401, "SESSION_INVALID")
	})
}

func TestRateLimits(t *testing.T) {
	left := func(t *testing.T, a apitest.Answer, limit int) int {
		t.Helper()
		n, err := strconv.Atoi(a.Header.Get("X-RateLimit-Remaining"))
		reset, err2 := strconv.ParseInt(a.Header.Get("X-RateLimit-Reset"), 10, 64)
		if err != nil || err2 != nil || a.Header.Get("X-RateLimit-Limit") != strconv.Itoa(limit) || n < 0 || n >= limit || reset < 1_700_000_000 {
			t.Fatalf("headers %v", a.Header)
		}
		return n
	}
	w := house(t, nil)
	t.Run("STACKBE-104", func(t *testing.T) {
		first := left(t, w.get("/v1/customers?email="+alice), 1000)
		if second := left(t, w.get("/v1/customers?email="+alice), 1000); second != first-1 {
			t.Errorf("%d are left, then %d", first, second)
		}
		if other := left(t, w.call("GET", "/v1/customers?email="+alice, nil, apitest.OtherKey), 1000); other != 999 {
			t.Errorf("another key has %d left", other)
		}
	})
	jwt := w.session(alice)
	t.Run("STACKBE-105", func(t *testing.T) {
		for range 100 {
			left(t, want(t, w.call("GET", auth+"session", nil, jwt), 200), 100)
		}
	})
	t.Run("STACKBE-107", func(t *testing.T) {
		a := refused(t, w.call("GET", auth+"session", nil, jwt), 429, "")
		if a.Header.Get("X-RateLimit-Remaining") != "0" || a.Header.Get("Retry-After") == "" {
			t.Errorf("headers %v", a.Header)
		}
		w.Sleep(time.Minute)
		want(t, w.call("GET", auth+"session", nil, jwt), 200)
	})
	t.Run("STACKBE-106", func(t *testing.T) {
		link := w.link(object{"email": bob})
		for _, a := range []apitest.Answer{
			w.post("/v1/customers", object{}), w.get("/v1/customers/x"), w.call("DELETE", "/v1/customers", nil, apitest.LiveKey),
			w.Do("GET", "/v1/customers", nil), w.call("GET", "/v1/customers", nil, "wrong"), w.post("/v1/apps/nosuch/auth/verify", object{}),
			w.visit("GET", link, ""), w.visit("GET", link, "&redirect=true"), w.visit("GET", link, "&redirect=true"), w.post("/v1/customers", "{"),
		} {
			if a.Header.Get("X-RateLimit-Limit") == "" || a.Header.Get("X-RateLimit-Remaining") == "" || a.Header.Get("X-RateLimit-Reset") == "" {
				t.Errorf("%d %.80s: headers %v", a.Status, a.Text, a.Header)
			}
		}
	})
}

func TestOutages(t *testing.T) {
	t.Run("mail is down", func(t *testing.T) {
		w := house(t, nil)
		w.Mail.FailWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "test"})
		deadline := time.Now().Add(10 * time.Second)
		ask := func(n int) apitest.Answer { // each for somebody else, who has met no limit
			return w.Do("POST", auth+"magic-link", object{"email": fmt.Sprintf("somebody%d@example.com", n)}, bearer(apitest.LiveKey)...)
		}
		a := ask(0)
		for n := 1; a.Status != 503; n++ {
			if time.Now().After(deadline) {
				t.Fatalf("links are accepted while mail is down: %s", a.Text)
			}
			time.Sleep(5 * time.Millisecond) // the sender is tried beside requests
			a = ask(n)
		}
		refused(t, a, 503, "")
	})
	t.Run("what is not supported says so", func(t *testing.T) {
		w := house(t, nil)
		for _, path := range []string{"/v1/subscriptions/current?customerId=x", "/v1/tenants", "/v1/apps"} {
			refused(t, w.get(path), 501, "NOT_SUPPORTED")
		}
		refused(t, w.post("/v1/subscriptions/sub_1/cancel", object{}), 501, "NOT_SUPPORTED")
		for _, path := range []string{"/v1/subscriptions", "/v1/subscriptions/sub_1", "/v1/plans", "/v1/plans/pro", "/v1/products", "/v1/checkout/sessions", "/v1/usage/track", "/v1/invoices", "/v1/webhooks"} {
			refused(t, w.get(path), 501, "NOT_SUPPORTED")
			refused(t, w.post(path, object{}), 501, "NOT_SUPPORTED")
		}
		if a := w.get("/v1/plansandmore"); a.Status != 404 {
			t.Errorf("another path: %d", a.Status)
		}
	})
}

func TestNoSecretIsLogged(t *testing.T) {
	w := house(t, nil)
	token := w.token(alice)
	a := want(t, w.post(auth+"verify", object{"token": token}), 200)
	w.post(auth+"verify", object{"token": token})
	for _, secret := range []string{token, a.String("sessionToken"), apitest.LiveKey, alice} {
		if strings.Contains(w.Log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}
