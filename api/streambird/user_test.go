package streambird_test

import (
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

func TestUsers(t *testing.T) {
	w := house(t, nil)
	a := want(t, w.post(users+"create", object{"email": alice, "phone_number": phone, "first_name": "Alice", "last_name": "Example"}), 200)
	id := a.String("user_id")
	t.Run("STREAM-96", func(t *testing.T) {
		want(t, w.post(users+"create", object{"phone_number": "+14155550199"}), 200)
		refused(t, w.post(users+"create", object{"first_name": "x"}), 400, "invalid_request")
		refused(t, w.post(users+"create", object{"email": "x"}), 400, "invalid_email")
		refused(t, w.post(users+"create", object{"phone_number": "x"}), 400, "invalid_phone_number")
		if b := want(t, w.post(users+"create", object{"email": carol, "requires_verification": true}), 200); b.String("status") != "pending" || b.Get("active") != false {
			t.Errorf("answer %s", b.Text)
		}
	})
	t.Run("STREAM-97", func(t *testing.T) {
		refused(t, w.post(users+"create", object{"email": "ALICE@example.com"}), 409, "duplicate")
		refused(t, w.post(users+"create", object{"email": "new@example.com", "phone_number": phone}), 409, "duplicate")
		want(t, w.post(users+"create", object{"email": "new@example.com"}), 200) // nothing was kept of the attempt
	})
	t.Run("STREAM-98", func(t *testing.T) {
		matches(t, "user_id", "user_[0-9A-Za-z]{27}", id)
		matches(t, "email_id", "email_[0-9A-Za-z]{27}", a.String("email_id"))
		matches(t, "phone_number_id", "pn_[0-9A-Za-z]{27}", a.String("phone_number_id"))
		if a.String("status") != "active" {
			t.Errorf("answer %s", a.Text)
		}
	})
	t.Run("STREAM-99", func(t *testing.T) {
		u := want(t, w.get(users+id), 200)
		mail, number := u.Get("emails").([]any)[0].(object), u.Get("phone_numbers").([]any)[0].(object)
		if mail["email"] != alice || mail["verified"] != false || mail["id"] != a.String("email_id") || number["phone_number"] != phone || u.String("first_name") != "Alice" || u.Get("active") != true {
			t.Errorf("answer %s", u.Text)
		}
		for _, empty := range []string{"wallets", "totps", "idp_providers"} {
			if list, ok := u.Get(empty).([]any); !ok || len(list) != 0 {
				t.Errorf("%s: %s", empty, u.Text)
			}
		}
	})
	t.Run("STREAM-100", func(t *testing.T) {
		for _, bad := range []string{"user_x", strings.TrimPrefix(id, "user_"), "email_" + id} {
			refused(t, w.get(users+bad), 404, "not_found")
		}
		refused(t, w.call("PUT", users+"user_x/update", object{}, apitest.LiveKey), 404, "not_found")
		refused(t, w.call("DELETE", users+"user_x/delete", nil, apitest.LiveKey), 404, "not_found")
	})
	put := func(body object) apitest.Answer { return w.call("PUT", users+id+"/update", body, apitest.LiveKey) }
	t.Run("STREAM-101", func(t *testing.T) {
		b := want(t, put(object{"middle_name": "B.", "emails": []object{{"email": "second@example.com"}}, "phone_numbers": []object{{"phone_number": "+14155550124"}}}), 200)
		if b.String("user.first_name") != "Alice" || b.String("user.middle_name") != "B." || b.String("user_id") != id {
			t.Errorf("answer %s", b.Text)
		}
		second := b.Get("emails").([]any)[1].(object)
		if second["email"] != "second@example.com" || second["verified"] != false || len(b.Get("phone_numbers").([]any)) != 2 {
			t.Errorf("answer %s", b.Text)
		}
		// The official client for Ruby sends the lists always.
		none := want(t, put(object{"middle_name": "B.", "emails": []object{}, "phone_numbers": []object{}}), 200)
		if len(none.Get("emails").([]any)) != 2 || len(none.Get("phone_numbers").([]any)) != 2 {
			t.Errorf("empty lists change something: %s", none.Text)
		}
		for _, bad := range []object{{"emails": []object{{"email": "x"}}}, {"emails": "x"}, {"emails": []object{{}}}, {"first_name": strings.Repeat("x", 300)}} {
			if a := put(bad); a.Status != 400 || a.Get("status_code") != 400.0 {
				t.Errorf("%v: %s", bad, a.Text)
			}
		}
	})
	t.Run("STREAM-102", func(t *testing.T) {
		w.user(bob)
		refused(t, put(object{"emails": []object{{"email": bob}}}), 409, "duplicate")
	})
	t.Run("STREAM-104", func(t *testing.T) {
		u := w.get(users + id)
		mail, number := u.Get("emails").([]any)[1].(object)["id"].(string), u.Get("phone_numbers").([]any)[1].(object)["id"].(string)
		refused(t, w.call("DELETE", users+"emails/"+number+"/delete", nil, apitest.LiveKey), 404, "not_found")
		for _, path := range []string{"emails/" + mail, "phone_numbers/" + number} {
			b := want(t, w.call("DELETE", users+path+"/delete", nil, apitest.LiveKey), 200)
			if b.String("user_id") != id || b.String("message") == "" {
				t.Errorf("answer %s", b.Text)
			}
			refused(t, w.call("DELETE", users+path+"/delete", nil, apitest.LiveKey), 404, "not_found")
		}
		u = w.get(users + id)
		if len(u.Get("emails").([]any)) != 1 || len(u.Get("phone_numbers").([]any)) != 1 {
			t.Errorf("user %s", u.Text)
		}
		w.user("second@example.com") // free again
	})
	t.Run("STREAM-103", func(t *testing.T) {
		s := w.signIn(alice)
		b := want(t, w.call("DELETE", users+id+"/delete", nil, apitest.LiveKey), 200)
		if b.String("message") != "Successfully deleted user" || b.String("user_id") != id {
			t.Errorf("answer %s", b.Text)
		}
		refused(t, w.get(users+id), 404, "not_found")
		refused(t, w.post(verifyPath, object{"session_token": s.String("session_token")}), 401, "invalid_session")
		if again := w.user(alice); again == id {
			t.Error("the deleted user is back")
		}
	})
}

// An app may use another wire format for organizations, which keep an owner.
func TestDeletingTheLastOwner(t *testing.T) {
	w := house(t, nil)
	owner, member := w.user(alice), w.user(carol)
	live, ctx := person.Realm{App: "shop"}, t.Context()
	org, v, err := w.Service.Organizations().Create(ctx, organization.Wish{Realm: live, Owner: strings.TrimPrefix(owner, "user_"), Name: "Acme", Plan: w.Service.Apps().Configured().Find("shop").FirstPlan()})
	if err != nil || v != event.Accepted {
		t.Fatal(v, err)
	}
	change := organization.RoleChange{Realm: live, Org: org.ID, Subject: strings.TrimPrefix(member, "user_"), Role: organization.Member, Add: true}
	if _, v, err := w.Service.Organizations().SetRole(ctx, change); err != nil || v != event.Accepted {
		t.Fatal(v, err)
	}
	refused(t, w.call("DELETE", users+owner+"/delete", nil, apitest.LiveKey), 409, "last_owner")
	want(t, w.get(users+owner), 200)
	want(t, w.call("DELETE", users+member+"/delete", nil, apitest.LiveKey), 200)
	want(t, w.call("DELETE", users+owner+"/delete", nil, apitest.LiveKey), 200)
	if org, _, err := w.Service.Organizations().Find(ctx, live, org.ID, ""); org != nil || err != nil {
		t.Errorf("an organization of nobody is left: %+v %v", org, err)
	}
}

func TestSearch(t *testing.T) {
	w := house(t, nil)
	var all []string
	for i := range 25 {
		body := object{"email": fmt.Sprintf("person%02d@example.com", i), "first_name": fmt.Sprintf("First%d", i), "last_name": "Person"}
		if i < 3 {
			body["phone_number"] = fmt.Sprintf("+1415555010%d", i)
		}
		if i >= 20 {
			body["requires_verification"] = true
		}
		all = append(all, want(t, w.post(users+"create", body), 200).String("user_id"))
	}
	slices.Sort(all) // ids of one second are in no order
	search := func(body object) (ids []string, a apitest.Answer) {
		t.Helper()
		a = want(t, w.post(users+"search", body), 200)
		for _, u := range a.Get("users").([]any) {
			ids = append(ids, u.(object)["user_id"].(string))
		}
		return ids, a
	}
	t.Run("STREAM-105 STREAM-108", func(t *testing.T) {
		ids, a := search(object{})
		if !slices.Equal(ids, all) || a.Get("total_count") != 25.0 || a.Get("has_more") != false {
			t.Errorf("%d users, %v, %v", len(ids), a.Get("total_count"), a.Get("has_more"))
		}
		var got []string
		body := object{"limit": 10}
		for more := true; more; {
			ids, a := search(body)
			if len(ids) > 10 || a.Get("total_count") != 25.0 {
				t.Fatalf("%d users, %v", len(ids), a.Get("total_count"))
			}
			got = append(got, ids...)
			more = a.Get("has_more") == true
			body["starting_after"] = ids[len(ids)-1]
		}
		if !slices.Equal(got, all) {
			t.Errorf("%d users in pages, want %d", len(got), len(all))
		}
		for _, bad := range []any{9, 101, "50", 10.5} {
			refused(t, w.post(users+"search", object{"limit": bad}), 400, "invalid_request")
		}
	})
	one := w.get(users + all[0])
	count := func(operator string, fields ...object) int {
		t.Helper()
		_, a := search(object{"filters": object{"operator": operator, "fields": fields}})
		return int(a.Get("total_count").(float64))
	}
	eq := func(field string, value any) object { return object{"field": field, "operator": "eq", "value": value} }
	t.Run("STREAM-106", func(t *testing.T) {
		for what, n := range map[string]int{
			"user_id " + all[0]: 1, "status pending": 5, "status active": 20, "full_name_match first2": 6, "full_name_match Person": 25,
			"email person07@example.com": 1, "email_id " + one.String("email_id"): 1, "email_match PERSON0": 10,
			"phone_number +14155550101": 1, "phone_number_match 5550": 3, "wallet_id x": 0, "wallet_public_address x": 0,
			"totp_id x": 0, "totp_verified true": 0, "idp_provider google": 0, "phone_number_id pn_x": 0,
		} {
			field, value, _ := strings.Cut(what, " ")
			if got := count("AND", eq(field, value)); got != n {
				t.Errorf("%s: %d users, want %d", what, got, n)
			}
		}
		if got := count("AND", eq("email_verified", false)); got != 25 {
			t.Errorf("%d users have an unproved address", got)
		}
		if got := count("AND", eq("phone_number_verified", false)); got != 3 {
			t.Errorf("%d users have an unproved number", got)
		}
	})
	t.Run("STREAM-107", func(t *testing.T) {
		in := object{"field": "email", "operator": "in", "values": []string{"person01@example.com", "person02@example.com", "nobody@example.com"}}
		if got := count("AND", in); got != 2 {
			t.Errorf("in: %d", got)
		}
		if got := count("AND", in, eq("full_name_match", "First1")); got != 1 {
			t.Errorf("AND: %d", got)
		}
		if got := count("OR", in, eq("status", "pending")); got != 7 {
			t.Errorf("OR: %d", got)
		}
		for operator, n := range map[string]int{"lt": 5, "gt": 19} {
			if got := count("AND", object{"field": "email", "operator": operator, "value": "person05@example.com"}); got != n {
				t.Errorf("%s: %d", operator, got)
			}
		}
		if got := count("AND", object{"field": "email", "operator": "between", "value": "person05@example.com", "second_value": "person07@example.com"}); got != 3 {
			t.Errorf("between: %d", got)
		}
		for _, bad := range []object{
			{"operator": "XOR"}, {"fields": "x"}, {"fields": []object{{"operator": "eq", "value": "x"}}}, {"fields": []object{{"field": "password", "operator": "eq", "value": "x"}}},
			{"fields": []object{{"field": "email", "operator": "like", "value": "x"}}}, {"fields": []object{{"field": "email", "operator": "eq"}}}, {"fields": []object{{"field": "email", "operator": "eq", "value": object{}}}},
			{"fields": []object{{"field": "email", "operator": "in", "values": "x"}}},
		} {
			refused(t, w.post(users+"search", object{"filters": bad}), 400, "invalid_request")
		}
	})
	t.Run("other data is not found", func(t *testing.T) {
		a := want(t, w.call("POST", users+"search", object{}, apitest.OtherKey), 200)
		if a.Get("total_count") != 0.0 {
			t.Errorf("answer %s", a.Text)
		}
	})
}

func TestPagesWithAPublishableKey(t *testing.T) {
	w := house(t, nil)
	from := func(origin, method, path string, body any, key string) apitest.Answer {
		return w.Do(method, path, body, "Authorization", "Bearer "+key, "Origin", origin)
	}
	t.Run("STREAM-114", func(t *testing.T) {
		for _, path := range []string{loginOrCreate, otps + "email/login_or_create", links + "email/login_status"} {
			a := want(t, w.Do("OPTIONS", path, nil, "Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"), 204)
			if a.Header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "Authorization") || a.Header.Get("Access-Control-Allow-Methods") != "POST" {
				t.Errorf("%s: %v", path, a.Header)
			}
			b := w.Do("OPTIONS", path, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
			if b.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %v", path, b.Header)
			}
		}
		a := want(t, from(page, "POST", loginOrCreate, object{"email": alice}, apitest.LivePub), 200)
		if a.Header.Get("Access-Control-Allow-Origin") != page || a.Header.Get("Access-Control-Allow-Credentials") != "" || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%v", a.Header)
		}
		if a := refused(t, from(page, "POST", loginOrCreate, object{}, apitest.LivePub), 400, "invalid_request"); a.Header.Get("Access-Control-Allow-Origin") != page {
			t.Error("a page can't read why it was refused")
		}
		refused(t, from("https://evil.example", "POST", loginOrCreate, object{"email": alice}, apitest.LivePub), 403, "forbidden")
		want(t, w.call("POST", loginOrCreate, object{"email": alice}, apitest.LivePub), 200) // no browser
	})
	t.Run("STREAM-115", func(t *testing.T) {
		w.Quiet()
		want(t, from(page, "POST", otps+"email/login_or_create", object{"email": bob}, apitest.LivePub), 200)
		if w.LastMail().To.String() != bob {
			t.Errorf("mail to %s", w.LastMail().To)
		}
	})
	t.Run("a page's own session", func(t *testing.T) {
		s := w.signIn(alice)
		own := object{"session_token": s.String("session_token")}
		sdk := root + "sdk/"
		if v := want(t, from(page, "POST", sdk+"sessions/verify", own, apitest.LivePub), 200); v.String("session.id") != s.String("session.id") {
			t.Errorf("answer %s", v.Text)
		}
		if me := want(t, from(page, "POST", sdk+"users/me", own, apitest.LivePub), 200); me.String("user_id") != s.String("user_id") {
			t.Errorf("answer %s", me.Text)
		}
		if me := want(t, from(page, "POST", sdk+"users/update", object{"session_token": own["session_token"], "first_name": "Alice"}, apitest.LivePub), 200); me.String("first_name") != "Alice" {
			t.Errorf("answer %s", me.Text)
		}
		refused(t, from(page, "POST", sdk+"users/update", object{"session_token": own["session_token"], "emails": []object{{"email": "victim@example.com"}}}, apitest.LivePub), 403, "forbidden")
		refused(t, from(page, "POST", sdk+"users/me", object{"session_token": strings.Repeat("x", 64)}, apitest.LivePub), 401, "invalid_session")
		refused(t, from(page, "POST", sdk+"users/me", own, apitest.TestPub), 401, "invalid_session")
		want(t, from(page, "POST", sdk+"sessions/delete", own, apitest.LivePub), 200)
		refused(t, from(page, "POST", sdk+"sessions/verify", own, apitest.LivePub), 401, "invalid_session")
	})
	t.Run("one visitor does not use up the key", func(t *testing.T) {
		a := want(t, w.call("POST", links+"email/login_status", object{"email_id": "email_x", "request_origin_token": "x"}, apitest.LivePub), 400)
		w.From("192.0.2.99")
		b := want(t, w.call("POST", links+"email/login_status", object{"email_id": "email_x", "request_origin_token": "x"}, apitest.LivePub), 400)
		if b.Header.Get("X-RateLimit-Remaining") != "999" || a.Header.Get("X-RateLimit-Limit") != "1000" {
			t.Errorf("%v", b.Header)
		}
	})
	t.Run("the script", func(t *testing.T) {
		a := want(t, w.Do("GET", "/streambird.js", nil), 200)
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/javascript") || !strings.Contains(a.Text, "window.Streambird") {
			t.Errorf("%v", a.Header)
		}
	})
}

func TestWhatIsNotSupportedSaysSo(t *testing.T) {
	w := house(t, nil)
	for _, call := range []string{
		"POST wallets/verify", "POST wallets/registrations/begin", "POST totps/create", "POST oauth/verify", "GET oauth/google/begin",
		"GET oauth_connections/x", "DELETE users/wallets/wallet_x/delete", "DELETE users/totps/totp_x/delete", "POST passwords/verify",
	} {
		method, path, _ := strings.Cut(call, " ")
		refused(t, w.call(method, root+path, nil, apitest.LiveKey), 501, "not_supported")
	}
}

func TestOutage(t *testing.T) {
	w := house(t, nil)
	t.Run("STREAM-110", func(t *testing.T) {
		w.Mail.FailWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "test"})
		// Each start is somebody else's, so that no limit answers, and the clock
		// stands, so that mail stays down once the first one has failed.
		deadline := time.Now().Add(10 * time.Second)
		people := 0
		ask := func() apitest.Answer {
			people++
			return w.Do("POST", loginOrCreate, object{"email": fmt.Sprintf("person%d@example.com", people)}, "Authorization", "Bearer "+apitest.LiveKey)
		}
		a := ask()
		for ; a.Status != 503; a = ask() {
			if time.Now().After(deadline) {
				t.Fatalf("links are accepted while mail is down: %s", a.Text)
			}
			runtime.Gosched()
		}
		refused(t, a, 503, "unavailable")
	})
}

func TestKeys(t *testing.T) {
	t.Run("STREAM-113", func(t *testing.T) {
		for _, key := range []string{apitest.LiveKey, apitest.TestKey} {
			if !strings.HasPrefix(key, "sk_live") && !strings.HasPrefix(key, "sk_test") || len(key) < 5 {
				t.Errorf("a client would not take the key %.8s…", key)
			}
		}
		if _, err := apps.ParseKey("key_" + strings.Repeat("0", 48)); err == nil {
			t.Error("a key in a form that clients do not take was accepted")
		}
	})
}

func TestNoSecretIsLogged(t *testing.T) {
	w := house(t, nil)
	s := w.signIn(alice)
	w.post(otps+"email/send", object{"email": alice})
	code := w.LastMail().Code
	w.post(otps+"verify", object{"method_id": s.String("method_id"), "otp": code})
	for _, secret := range []string{s.String("session_token"), s.String("session_jwt"), code, apitest.LiveKey, alice, url.QueryEscape(alice)} {
		if strings.Contains(w.Log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}
