package api_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const gated = "gated@example.com"

// signInAtGate makes gated known at a gate, and returns their subject there.
func (w *contacts) signInAtGate() string {
	w.T.Helper()
	b := session.Browser{Origin: w.Origin}
	begun, err := w.Service.Flows().Begin(w.T.Context(), b, authcore.Start{Address: address.AddressOf(gated)})
	if err != nil {
		w.T.Fatal(err)
	}
	b.Flow = begun.FlowCookie
	out, err := w.Service.Flows().AnswerCode(w.T.Context(), b, "", w.LastMail().Code)
	if err != nil || out.Verdict != event.Accepted {
		w.T.Fatal(out.Verdict, err)
	}
	return out.SignIn.Session.Subject
}

// started is what makes somebody of gated by the proof, and what proves it.
var started = map[string]func(w *contacts) (prove func() apitest.Answer){
	"Link": func(w *contacts) func() apitest.Answer {
		w.App.AutoCreate = false
		in := object{"client_secret": w.Do("GET", "/api/lookup-email?email="+gated+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil).String("client_secret"), "email": gated}
		w.ok("POST", "/api/start_verification", in)
		in["code"] = w.LastMail().Code
		return func() apitest.Answer { return w.key("POST", "/api/authenticate", in) }
	},
	"a link of a page": func(w *contacts) func() apitest.Answer {
		w.pub("/v1/auth/magic_links/email/login_or_create", object{"email": gated})
		token := w.mailedToken()
		return func() apitest.Answer {
			return w.key("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_expires_in": 60})
		}
	},
	"a code of a page": func(w *contacts) func() apitest.Answer {
		id := w.pub("/v1/auth/otps/email/login_or_create", object{"email": gated, "expires_in": 10}).String("email_id")
		code := w.LastMail().Code
		return func() apitest.Answer {
			return w.key("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": code, "session_expires_in": 60})
		}
	},
	"a link with two digits": func(w *contacts) func() apitest.Answer {
		a := w.pub("/v1/auth/magic_links/email/login_or_create", object{"email": gated, "auto_verify": true})
		token := w.mailedToken()
		return func() apitest.Answer {
			w.Do("POST", "/v1/auth/magic_links/hosted/shop?token="+token, url.Values{"digits": {a.String("verification_digits")}})
			return w.Do("POST", "/v1/auth/magic_links/email/login_status", object{"email_id": a.Get("email_id"), "request_origin_token": a.Get("request_origin_token")},
				"Authorization", "Bearer "+apitest.LivePub)
		}
	},
	"an invitation": func(w *contacts) func() apitest.Answer {
		w.App.DevCallback = "https://app.example.com/in"
		w.ok("POST", "/v1/apps/shop/organizations/"+w.acme()+"/invites", object{"email": gated, "role": "admin"})
		token := w.mailedToken()
		return func() apitest.Answer { return w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token}) }
	},
}

func (w *contacts) pub(path string, body object) apitest.Answer {
	w.T.Helper()
	w.App.AutoCreate = true
	a := w.Do("POST", path, body, "Authorization", "Bearer "+apitest.LivePub)
	if a.Status != 200 {
		w.T.Fatal(a.Status, a.Text)
	}
	w.Quiet()
	return a
}

// made tells whether gated is a customer.
func (w *contacts) made() bool { return w.key("GET", "/v1/customers?email="+gated, nil).Status == 200 }

// An operator deletes somebody at the gates. What makes a customer of their address
// and was sent before is dead.
func TestWhatMakesAPersonDiesWithTheAccountAtTheGates(t *testing.T) {
	for way, start := range started {
		t.Run(way, func(t *testing.T) {
			for _, gone := range []bool{false, true} {
				w := newContacts(t)
				sub := w.signInAtGate()
				w.Sleep(2 * time.Minute)
				prove := start(w)
				if gone {
					d, err := w.Core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "by_operator"})
					if err != nil || d.Verdict != event.Accepted {
						t.Fatal(d, err)
					}
				}
				w.Sleep(time.Minute)
				a := prove()
				if w.made() == gone || strings.Contains(a.Text, "session_token") && gone {
					t.Errorf("deleted %v: %d %s", gone, a.Status, a.Text)
				}
			}
		})
	}
	t.Run("whom the app knows goes on", func(t *testing.T) {
		w := newContacts(t)
		sub := w.signInAtGate()
		w.Sleep(2 * time.Minute)
		w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": gated})
		token := w.mailedToken()
		if _, err := w.Core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "by_operator"}); err != nil {
			t.Fatal(err)
		}
		w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token})
	})
}

// Somebody comes into an organization while they are being deleted: nothing of that
// is left, neither an organization without members nor an owner who is nobody.
func TestDeletionLeavesNoGhosts(t *testing.T) {
	const orgs = "/v1/apps/shop/organizations"
	for way, join := range map[string]func(w *contacts, org, session string){
		"founds one": func(w *contacts, _, session string) {
			w.Do("POST", orgs, object{"name": "Ghost"}, "Authorization", "Bearer "+session)
		},
		"is made an owner of one": func(w *contacts, org, _ string) {
			w.key("POST", orgs+"/"+org+"/members", object{"customerId": "cust_" + w.user, "role": "owner"})
		},
		"is made a member by the app, of two": func(w *contacts, org, _ string) {
			w.key("POST", orgs+"/"+org+"/members", object{"customerId": "cust_" + w.user, "role": "member"})
			w.key("POST", orgs, object{"name": "Ghost", "ownerId": "cust_" + w.user})
		},
		"accepts an invitation": func(w *contacts, org, session string) {
			id := w.key("POST", orgs+"/"+org+"/invites", object{"email": sentTo, "role": "owner", "redirectUrl": "https://app.example.com/in"}).String("id")
			w.Do("POST", orgs+"/invites/accept", object{"inviteId": id}, "Authorization", "Bearer "+session)
		},
	} {
		t.Run(way, func(t *testing.T) {
			w := newContacts(t)
			org, session := w.acme(), w.signIn(sentTo).String("sessionToken")
			w.Store.BeforeUpdate(func() { join(w, org, session) })
			if a := w.key("DELETE", "/v1/auth/users/user_"+w.user+"/delete", nil); a.Status != 200 {
				t.Fatal(a.Status, a.Text)
			}
			for _, line := range strings.Split(w.Dump(), "\n") {
				key, _, _ := strings.Cut(line, " ")
				if strings.HasPrefix(key, store.KeyOrg) && (strings.Contains(line, w.user) || strings.Contains(line, "Ghost")) {
					t.Errorf("left: %s", line)
				}
				for _, kind := range []string{store.KeyOrgPerson, store.KeyPersonOrg} {
					if strings.HasPrefix(key, kind) && strings.Contains(key, w.user) {
						t.Errorf("left: %s", line)
					}
				}
			}
			members := w.ok("GET", orgs+"/"+org+"/members", nil)
			if n := strings.Count(members.Text, `"role"`); n != 1 {
				t.Errorf("%d members: %s", n, members.Text)
			}
		})
	}
}

// With auto_create off nobody becomes a customer by what a page asked for before.
func TestAutoCreateOffEndsWhatPagesBegan(t *testing.T) {
	for _, way := range []string{"a link of a page", "a code of a page", "a link with two digits"} {
		for _, known := range []bool{false, true} {
			w := newContacts(t)
			if known {
				w.ok("POST", "/v1/customers", object{"email": gated})
			}
			prove := started[way](w)
			w.App.AutoCreate = false
			if a := prove(); w.made() != known || !known && strings.Contains(a.Text, "session_token") || known && a.Status != 200 {
				t.Errorf("%s, known %v: %d %s", way, known, a.Status, a.Text)
			}
		}
	}
}

// With auto_verify off no link with two digits is delivered any more, whoever waits and
// wherever it was answered before.
func TestAutoVerifyOffEndsWaiting(t *testing.T) {
	for key, right := range map[string]string{"secret": apitest.LiveKey, "publishable": apitest.LivePub} {
		for _, off := range []bool{false, true} {
			w := newContacts(t)
			poll, digits := w.hosted()
			if a := w.Do("POST", "/v1/auth/magic_links/hosted/shop?token="+w.mailedToken(), digits); a.Status != 200 {
				t.Fatal(a.Status, a.Text)
			}
			w.App.AutoVerify = !off
			a := w.Do("POST", "/v1/auth/magic_links/email/login_status", poll, "Authorization", "Bearer "+right)
			if (a.Status == 200) == off {
				t.Errorf("%s key, auto_verify off %v: %d %s", key, off, a.Status, a.Text)
			}
		}
	}
	t.Run("a link without digits is not one of them", func(t *testing.T) {
		w := newContacts(t)
		a := w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": sentTo})
		token := w.mailedToken()
		w.App.AutoVerify = false
		w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token})
		w.ok("POST", "/v1/auth/magic_links/email/login_status", object{"email_id": a.Get("email_id"), "request_origin_token": a.Get("request_origin_token")})
	})
}

var stopLink = regexp.MustCompile(`https?://\S*token=stop-\S+`)

// Who wants no invitations of an app gets none in any wire format.
func TestStoppedInvitationsOfEveryDialect(t *testing.T) {
	w := newContacts(t)
	w.App.DevCallback = "https://app.example.com/in"
	w.ok("POST", "/v1/apps/shop/organizations/"+w.acme()+"/invites", object{"email": gated, "role": "member"})
	stop, err := url.Parse(stopLink.FindString(w.LastMail().Text))
	if err != nil {
		t.Fatal(err)
	}
	if a := w.Do("POST", stop.Path+"?"+stop.RawQuery, url.Values{"email": {gated}}); a.Status != 200 {
		t.Fatal(a.Status, a.Text)
	}
	w.Sleep(2 * time.Minute)
	before := len(w.Mail.Sent())
	w.ok("POST", "/v1/auth/magic_links/email/invite", object{"email": gated})
	if n := len(w.Mail.Sent()) - before; n != 0 {
		t.Errorf("%d mails were sent to who wants none", n)
	}
	w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": gated}) // they asked
	w.Sleep(25 * time.Hour)
	w.ok("POST", "/v1/auth/magic_links/email/invite", object{"email": gated})
	if n := len(w.Mail.Sent()) - before; n != 2 {
		t.Errorf("%d mails were sent, want a link and an invitation a day later", n)
	}
}
