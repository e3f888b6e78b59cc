package api_test

import (
	"bytes"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// passing is a person whom an app gives another address in the place of the only
// one that was proved: the former holder may be a stranger to the new one.
type passing struct {
	*contacts
	org     string
	session string // StackBE, of the former holder
}

func newPassing(t *testing.T) *passing {
	w := &passing{contacts: newContacts(t)}
	w.App.DevCallback = "https://app.example.com/in"
	w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"name": "Mallory", "metadata": object{"iban": "DE-mallory"}})
	w.session = w.signIn(sentTo).String("sessionToken")
	w.org = w.acme()
	w.ok("POST", "/v1/apps/shop/organizations/"+w.org+"/members", object{"customerId": "cust_" + w.user, "role": "admin"})
	w.Sleep(time.Minute)
	return w
}

// signIn is a sign-in of StackBE by a mail.
func (w *contacts) signIn(email string) apitest.Answer {
	w.T.Helper()
	w.Sleep(2 * time.Minute)
	w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": email, "redirectUrl": "https://app.example.com/in"})
	return w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()})
}

// passes are the ways in which the new address comes in the place of the old
// one, and its owner proves it for the first time.
var passes = map[string]func(w *passing){
	"replaced": func(w *passing) {
		w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": moved})
		w.signIn(moved)
	},
	"attached, the old one deleted": func(w *passing) {
		w.attach(w.user, moved)
		w.remove(sentTo)
		w.signIn(moved)
	},
	"the old one deleted, attached": func(w *passing) {
		w.remove(sentTo)
		w.attach(w.user, moved)
		w.signIn(moved)
	},
	"replaced twice": func(w *passing) {
		w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": "typo@example.com"})
		w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": moved})
		w.signIn(moved)
	},
	"deleted while it is proved": func(w *passing) {
		w.attach(w.user, moved)
		w.Sleep(2 * time.Minute)
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": moved})
		var both sync.WaitGroup
		both.Go(func() { w.key("DELETE", "/v1/auth/users/emails/"+w.ids[sentTo]+"/delete", nil) })
		both.Go(func() {
			w.key("POST", "/v1/auth/magic_links/verify", object{"token": token.String("token"), "session_expires_in": 60})
		})
		both.Wait()
		w.signIn(moved)
	},
	"imported": func(w *passing) {
		w.importMoved(false)
		w.signIn(moved)
	},
	"imported as proved elsewhere": func(w *passing) {
		w.importMoved(true)
		w.signIn(moved)
	},
}

// importMoved imports the person as an instance has it that gave it the new
// address.
func (w *passing) importMoved(proved bool) {
	w.T.Helper()
	verified := ""
	if proved {
		verified = `"verified":true,`
	}
	line := `{"type":"app_person","sub":"` + w.user + `","realm":"shop/live","name":"Mallory","metadata":{"iban":"DE-mallory"},"created":"2026-01-01T00:00:00Z","emails":[{"id":"` +
		strings.Repeat("7", 27) + `","value":"` + moved + `",` + verified + `"created":"2026-01-01T00:00:00Z","updated":"2026-01-01T00:00:00Z"}],"updated":"` + w.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"}`
	if _, err := w.Core.Move().Import(w.T.Context(), strings.NewReader(line)); err != nil {
		w.T.Fatal(err)
	}
}

// held are what the former holder has, has asked for or has sent: each returns
// whether it is still good for anything of the person's.
var held = map[string]func(w *passing) func() (good bool, text string){
	"StackBE session": func(w *passing) func() (bool, string) {
		return func() (bool, string) { return w.visits(w.session) }
	},
	"StackBE session for an organization": func(w *passing) func() (bool, string) {
		a := w.Do("POST", "/v1/apps/shop/auth/switch-organization", object{"organizationId": w.org}, "Authorization", "Bearer "+w.session)
		if a.Status != 200 {
			w.T.Fatal(a.Status, a.Text)
		}
		return func() (bool, string) { return w.visits(a.String("sessionToken")) }
	},
	"reflex session": func(w *passing) func() (bool, string) {
		code := w.ok("POST", "/reflex/otp", object{"email": sentTo}).String("otp")
		token := w.Do("POST", "/reflex/validate", object{"email": sentTo, "otp": code}).String("session_token")
		return func() (bool, string) {
			a := w.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token)
			return a.Get("session_is_valid") != false, a.Text
		}
	},
	"reflex cookie": func(w *passing) func() (bool, string) {
		u, err := url.Parse(w.ok("POST", "/reflex/otp", object{"email": sentTo}).String("magic_link"))
		if err != nil {
			w.T.Fatal(err)
		}
		cookie, _, _ := strings.Cut(w.Do("POST", u.Path, u.Query(), "Sec-Fetch-Site", "same-origin").Header.Get("Set-Cookie"), ";")
		if cookie == "" {
			w.T.Fatal("no cookie")
		}
		return func() (bool, string) {
			a := w.Do("GET", "/reflex/session", nil, "Cookie", cookie)
			return a.Get("session_is_valid") != false, a.Text
		}
	},
	"Streambird session": func(w *passing) func() (bool, string) {
		token := w.prove(sentTo).String("session_token")
		return func() (bool, string) { return w.verifies(object{"session_token": token}) }
	},
	"Streambird JWT": func(w *passing) func() (bool, string) {
		jwt := w.prove(sentTo).String("session_jwt")
		return func() (bool, string) { return w.verifies(object{"session_jwt": jwt}) }
	},
	"Streambird session in a page": func(w *passing) func() (bool, string) {
		token := w.prove(sentTo).String("session_token")
		return func() (bool, string) {
			a := w.Do("POST", "/v1/auth/sdk/users/me", object{"session_token": token}, "Authorization", "Bearer "+apitest.LivePub)
			return a.Status == 200, a.Text
		}
	},
	"Streambird session with another proof": func(w *passing) func() (bool, string) {
		token := w.prove(sentTo).String("session_token")
		return func() (bool, string) {
			w.Sleep(2 * time.Minute)
			link := w.ok("POST", "/v1/auth/magic_links/create", object{"email": moved}).String("token")
			a := w.key("POST", "/v1/auth/magic_links/verify", object{"token": link, "session_token": token})
			return a.Status == 200 && a.Get("session_token") == token, a.Text
		}
	},
	"another address that was attached": func(w *passing) func() (bool, string) {
		return func() (bool, string) { return w.belongs(beside, "") }
	},
	"a link to another address that was attached": func(w *passing) func() (bool, string) {
		w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": beside})
		token := w.mailedToken()
		return func() (bool, string) { return w.belongs(beside, token) }
	},
	"a number that was attached": func(w *passing) func() (bool, string) {
		return func() (bool, string) { return w.belongs(number, "") }
	},
	"a code to a number that was attached": func(w *passing) func() (bool, string) {
		w.ok("POST", "/v1/auth/otps/sms/login_or_create", object{"phone_number": number, "expires_in": 10})
		id, code := w.ids[number], w.LastText().Code
		return func() (bool, string) {
			a := w.key("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": code, "session_expires_in": 60})
			return a.String("user_id") == "user_"+w.user, a.Text
		}
	},
	"an invitation that was sent": func(w *passing) func() (bool, string) {
		id, token := w.invites("friend@example.com")
		return func() (bool, string) {
			listed := w.ok("GET", "/v1/apps/shop/organizations/"+w.org+"/invites", nil)
			a := w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token})
			return a.Status == 200 || strings.Contains(listed.Text, id) || w.hasMember("friend@example.com"), a.Text + listed.Text
		}
	},
	"an invitation that waits for who is invited": func(w *passing) func() (bool, string) {
		id, _ := w.invites("friend@example.com")
		return func() (bool, string) {
			w.ok("POST", "/v1/customers", object{"email": "friend@example.com"})
			a := w.Do("POST", "/v1/apps/shop/organizations/invites/accept", object{"inviteId": id},
				"Authorization", "Bearer "+w.signIn("friend@example.com").String("sessionToken"))
			return a.Status == 200 || w.hasMember("friend@example.com"), a.Text
		}
	},
	"an invitation that the app sends again": func(w *passing) func() (bool, string) {
		id, _ := w.invites("friend@example.com")
		return func() (bool, string) {
			w.Sleep(2 * time.Minute)
			a := w.key("POST", "/v1/apps/shop/organizations/"+w.org+"/invites/"+id+"/resend", object{"redirectUrl": "https://app.example.com/in"})
			return a.Status != 404, a.Text
		}
	},
}

func (w *passing) visits(jwt string) (bool, string) {
	a := w.Do("GET", "/v1/apps/shop/auth/session", nil, "Authorization", "Bearer "+jwt)
	return a.Status == 200, a.Text
}

func (w *passing) verifies(session object) (bool, string) {
	a := w.key("POST", "/v1/auth/sessions/verify", session)
	return a.Status == 200, a.Text
}

// belongs tells whether the person has a contact, or is who proves it.
func (w *passing) belongs(value, token string) (bool, string) {
	a := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
	if strings.Contains(a.Text, value) || token == "" {
		return strings.Contains(a.Text, value), a.Text
	}
	a = w.key("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_expires_in": 60})
	return a.String("user_id") == "user_"+w.user, a.Text
}

// invites has the former holder invite somebody.
func (w *passing) invites(email string) (id, token string) {
	a := w.Do("POST", "/v1/apps/shop/organizations/"+w.org+"/invites", object{"email": email, "role": "member"}, "Authorization", "Bearer "+w.session)
	if a.Status != 201 {
		w.T.Fatal(a.Status, a.Text)
	}
	return a.String("id"), w.mailedToken()
}

func (w *passing) hasMember(email string) bool {
	return strings.Contains(w.ok("GET", "/v1/apps/shop/organizations/"+w.org+"/members", nil).Text, email)
}

// The app's word is enough for another address, and the person stays who they
// are. What the former holder had goes: it may have been somebody else.
func TestNothingIsLeftToWhoHadAnotherAddress(t *testing.T) {
	for what, hold := range held {
		t.Run(what, func(t *testing.T) {
			if !strings.HasPrefix(what, "a ") && !strings.Contains(what, "another ") {
				w := newPassing(t)
				if good, text := hold(w)(); !good {
					t.Errorf("it does not work at all: %s", text)
				}
			}
			for way, pass := range passes {
				t.Run(way, func(t *testing.T) {
					w := newPassing(t)
					use := hold(w)
					pass(w)
					w.user = strings.TrimPrefix(w.ok("GET", "/v1/customers?email="+moved, nil).String("id"), "cust_")
					if good, text := use(); good {
						t.Errorf("it is good for something yet: %s", text)
					}
				})
			}
		})
	}
	for kind, send := range kinds {
		for _, way := range []string{"replaced", "attached, the old one deleted"} {
			t.Run(kind+", "+way, func(t *testing.T) {
				w := newPassing(t)
				s := send(w.contacts)
				passes[way](w)
				if in, text := s.use(); in && (s.to == sentTo || strings.Contains(text, w.user)) {
					t.Errorf("it still lets in: %s", text)
				}
			})
		}
	}
}

func TestThePersonStaysWithAnotherAddress(t *testing.T) {
	for way, pass := range passes {
		if way == "deleted while it is proved" { // then it may be a person of its own
			continue
		}
		t.Run(way, func(t *testing.T) {
			w := newPassing(t)
			pass(w)
			a := w.signIn(moved)
			if a.String("customerId") != "cust_"+w.user {
				t.Errorf("another person: %s", a.Text)
			}
			if good, text := w.visits(a.String("sessionToken")); !good || strings.Contains(text, w.org) {
				t.Errorf("the session is not the person's own: %s", text)
			}
			if c := w.ok("GET", "/v1/customers/cust_"+w.user, nil); !strings.Contains(c.Text, "Mallory") || !strings.Contains(c.Text, "iban") {
				t.Error(c.Text)
			}
			if members := w.ok("GET", "/v1/apps/shop/organizations/"+w.org+"/members", nil); !strings.Contains(members.Text, moved) || !strings.Contains(members.Text, `"admin"`) {
				t.Error(members.Text)
			}
			w.session = a.String("sessionToken")
			if _, token := w.invites("friend@example.com"); w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": token}).Status != 200 || !w.hasMember("friend@example.com") {
				t.Error("an invitation of who the person is now does not count")
			}
			w.attach(w.user, "second@example.com")
			w.signIn(moved)
			if u := w.ok("GET", "/v1/auth/users/user_"+w.user, nil); !strings.Contains(u.Text, "second@example.com") {
				t.Errorf("a second address went by a proof that was not the first: %s", u.Text)
			}
		})
	}
}

// An import that takes a proof back ends what rests on it, though the contact stays.
func TestSessionsEndWithAProofThatIsTakenBack(t *testing.T) {
	w := newPassing(t)
	line := `{"type":"app_person","sub":"` + w.user + `","realm":"shop/live","created":"2026-01-01T00:00:00Z","emails":[{"id":"` +
		strings.TrimPrefix(w.ids[sentTo], "email_") + `","value":"` + sentTo + `","created":"2026-01-01T00:00:00Z","updated":"2026-01-01T00:00:00Z"}],"updated":"` + w.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"}`
	if _, err := w.Core.Move().Import(t.Context(), strings.NewReader(line)); err != nil {
		t.Fatal(err)
	}
	if good, text := w.visits(w.session); good {
		t.Error(text)
	}
}

// A person whose only proof was a number passes like one with an address.
func TestAPersonPassesWithTheLastNumber(t *testing.T) {
	w := newPassing(t)
	w.remove(sentTo)
	w.remove(beside)
	text := func() apitest.Answer {
		w.Sleep(2 * time.Minute)
		id := w.ok("POST", "/v1/auth/otps/sms/send", object{"phone_number": number, "expires_in": 10}).String("phone_number_id")
		return w.ok("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": w.LastText().Code, "session_expires_in": 60})
	}
	session := text().String("session_token")
	w.attach(w.user, "other@example.com")
	w.attach(w.user, moved)
	w.remove(number)
	if good, text := w.verifies(object{"session_token": session}); good {
		t.Errorf("the session lives: %s", text)
	}
	if a := w.signIn(moved); a.String("customerId") != "cust_"+w.user {
		t.Errorf("another person: %s", a.Text)
	}
	if good, text := w.belongs("other@example.com", ""); good {
		t.Errorf("another address is left: %s", text)
	}
}

// That a person has passed goes with an export to another instance.
func TestThatAPersonHasPassedIsExported(t *testing.T) {
	w := newPassing(t)
	id, _ := w.invites("friend@example.com")
	w.attach(w.user, moved)
	w.remove(sentTo)
	var out bytes.Buffer
	if _, err := w.Core.Move().Export(t.Context(), &out, false); err != nil {
		t.Fatal(err)
	}
	there := &passing{contacts: newContacts(t), org: w.org}
	there.Sleep(time.Hour)
	there.ok("DELETE", "/v1/auth/users/user_"+there.user+"/delete", nil)
	if _, err := there.Core.Move().Import(t.Context(), bytes.NewReader(out.Bytes())); err != nil {
		t.Fatal(err)
	}
	there.user = w.user
	if a := there.signIn(moved); a.String("customerId") != "cust_"+w.user {
		t.Errorf("another person: %s", a.Text)
	}
	if good, text := there.belongs(beside, ""); good {
		t.Errorf("another address is left: %s", text)
	}
	if list := there.ok("GET", "/v1/apps/shop/organizations/"+w.org+"/invites", nil); strings.Contains(list.Text, id) {
		t.Errorf("an invitation is left: %s", list.Text)
	}
}

// Who has proved another address or number keeps the person: the new address
// leaves it, as any that is proved without a session.
func TestAnotherProofKeepsThePerson(t *testing.T) {
	for name, keep := range map[string]func(w *passing) (signIn func() apitest.Answer){
		"an address": func(w *passing) func() apitest.Answer {
			session := w.prove(sentTo).String("session_token")
			link := w.ok("POST", "/v1/auth/magic_links/create", object{"email": beside}).String("token")
			w.ok("POST", "/v1/auth/magic_links/verify", object{"token": link, "session_token": session})
			return func() apitest.Answer { return w.prove(beside) }
		},
		"a number": func(w *passing) func() apitest.Answer {
			session := w.prove(sentTo).String("session_token")
			text := func() apitest.Answer {
				id := w.ok("POST", "/v1/auth/otps/sms/login_or_create", object{"phone_number": number, "expires_in": 10}).String("phone_number_id")
				body := object{"method_id": id, "otp": w.LastText().Code, "session_expires_in": 60}
				if session != "" {
					body["session_token"] = session
				}
				return w.ok("POST", "/v1/auth/otps/verify", body)
			}
			text()
			session = ""
			return text
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPassing(t)
			signIn := keep(w)
			w.Sleep(2 * time.Minute)
			w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": moved})
			if a := w.signIn(moved); a.String("customerId") == "cust_"+w.user {
				t.Errorf("the new address is let in to who proved another: %s", a.Text)
			}
			w.Sleep(2 * time.Minute)
			if a := signIn(); a.String("user_id") != "user_"+w.user {
				t.Errorf("who proved another has lost the person: %s", a.Text)
			}
		})
	}
}

// Only the app's own word changes an address: nobody else's does without a proof
// of both.
func TestOnlyASecretKeyChangesAnAddress(t *testing.T) {
	changes := map[string]object{
		"PATCH /v1/customers/cust_{user}":                  {"email": moved},
		"PUT /v1/auth/users/user_{user}/update":            {"emails": []object{{"email": moved}}, "phone_numbers": []object{{"phone_number": "+14155550188"}}},
		"DELETE /v1/auth/users/emails/{id}/delete":         nil,
		"DELETE /v1/auth/users/phone_numbers/{nid}/delete": nil,
		"DELETE /v1/auth/users/user_{user}/delete":         nil,
		"POST /v1/auth/sdk/users/update":                   {"email": moved, "emails": []object{{"email": moved}}, "phone_number": "+14155550188", "first_name": "M"},
		"POST /v1/customers":                               {"email": moved, "id": "cust_{user}"},
		"POST /v1/auth/users/create":                       {"email": moved, "user_id": "user_{user}"},
	}
	for call, body := range changes {
		for name, key := range map[string]func(w *passing) string{
			"a StackBE session":     func(w *passing) string { return w.session },
			"a Streambird session":  func(w *passing) string { return w.prove(sentTo).String("session_token") },
			"a Streambird JWT":      func(w *passing) string { return w.prove(sentTo).String("session_jwt") },
			"the publishable key":   func(*passing) string { return apitest.LivePub },
			"another app's key":     func(*passing) string { return apitest.OtherKey },
			"the secret test key":   func(*passing) string { return apitest.TestKey },
			"a key of another time": func(*passing) string { return strings.Replace(apitest.LiveKey, "0", "9", 1) },
		} {
			t.Run(call+" with "+name, func(t *testing.T) {
				w := newPassing(t)
				shown := key(w)
				token := w.prove(sentTo).String("session_token")
				before := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
				method, path, _ := strings.Cut(call, " ")
				path = strings.NewReplacer("{user}", w.user, "{id}", w.ids[sentTo], "{nid}", w.ids[number]).Replace(path)
				send := object{}
				for field, v := range body {
					send[field] = v
				}
				send["session_token"] = token
				w.Do(method, path, send, "Authorization", "Bearer "+shown)
				after := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
				for _, list := range []string{"emails", "phone_numbers"} {
					if a, b := texts(before.Get(list)), texts(after.Get(list)); a != b {
						t.Errorf("%s were %s and are %s", list, a, b)
					}
				}
			})
		}
	}
}

func texts(list any) (out string) {
	for _, c := range list.([]any) {
		for _, field := range []string{"id", "email", "phone_number"} {
			if s, ok := c.(object)[field].(string); ok {
				out += " " + s
			}
		}
	}
	return out
}
