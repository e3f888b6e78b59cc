package api_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/api/stackbe"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// What is sent goes to sentTo. The person has another address and a number, and
// gets moved in its place.
const (
	sentTo = "old@example.com"
	beside = "beside@example.com"
	moved  = "new@example.com"
	number = "+14155550123"
	rival  = "rival@example.com"
)

type object = map[string]any

// contacts is an instance with all dialects and one person.
type contacts struct {
	*apitest.House
	user string            // the person's id without a prefix
	ids  map[string]string // of the contacts, by value
}

func newContacts(t *testing.T) *contacts {
	h := apitest.New(t, func(h *apitest.House) {
		callbacks, err := origin.ParseCallbacks([]string{"https://app.example.com/*"})
		if err != nil {
			t.Fatal(err)
		}
		h.Alone = true
		h.App.Callbacks, h.App.Organizations, h.App.AutoVerify = callbacks, true, true
		for _, use := range []origin.RedirectUse{origin.RedirectLogin, origin.RedirectRegistration, origin.RedirectInvite} {
			if err := h.App.Redirects.Add(use, "https://app.example.com/authenticate"); err != nil {
				t.Fatal(err)
			}
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{
			link.New(h.Parts()), reflex.New(h.Parts(), reflex.Options{}),
			stackbe.New(h.Parts()), streambird.New(h.Parts()),
		}
	})
	w := &contacts{House: h, ids: map[string]string{}}
	w.user = strings.TrimPrefix(w.ok("POST", "/v1/auth/users/create", object{"email": sentTo, "phone_number": number}).String("user_id"), "user_")
	w.attach(w.user, beside)
	return w
}

func (w *contacts) key(method, path string, body any) apitest.Answer {
	w.T.Helper()
	defer w.Quiet()
	return w.Do(method, path, body, "Authorization", "Bearer "+apitest.LiveKey)
}

func (w *contacts) ok(method, path string, body any) apitest.Answer {
	w.T.Helper()
	a := w.key(method, path, body)
	if a.Status/100 != 2 {
		w.T.Fatalf("%s %s: %d %s", method, path, a.Status, a.Text)
	}
	return a
}

// attach gives a user an address, and notes the ids of all contacts.
func (w *contacts) attach(user, email string) {
	w.T.Helper()
	a := w.ok("PUT", "/v1/auth/users/user_"+user+"/update", object{"emails": []object{{"email": email}}})
	for list, field := range map[string]string{"emails": "email", "phone_numbers": "phone_number"} {
		for _, c := range a.Get(list).([]any) {
			w.ids[c.(object)[field].(string)] = c.(object)["id"].(string)
		}
	}
}

// trustNumber adds the number anew, once the address was proved.
func (w *contacts) trustNumber() {
	w.T.Helper()
	w.prove(sentTo)
	w.remove(number)
	w.Sleep(time.Second)
	a := w.ok("PUT", "/v1/auth/users/user_"+w.user+"/update", object{"phone_numbers": []object{{"phone_number": number}}})
	for _, c := range a.Get("phone_numbers").([]any) {
		w.ids[c.(object)["phone_number"].(string)] = c.(object)["id"].(string)
	}
}

func (w *contacts) mailedToken() string {
	w.T.Helper()
	u, err := url.Parse(w.LastMail().Link)
	if err != nil {
		w.T.Fatal(err)
	}
	return u.Query().Get("token")
}

// prove makes an address proved, by a link of Streambird.
func (w *contacts) prove(email string) apitest.Answer {
	w.T.Helper()
	token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": email}).String("token")
	return w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_expires_in": 60})
}

// acme makes an organization that somebody else owns.
func (w *contacts) acme() string {
	owner := w.ok("POST", "/v1/customers", object{"email": "boss@example.com"}).String("id")
	return w.ok("POST", "/v1/apps/shop/organizations", object{"name": "Acme", "ownerId": owner}).String("id")
}

// ways are how the contact that something was sent to can die. Each takes the
// value.
var ways = map[string]func(w *contacts, value string){
	"replaced": (*contacts).replace,
	"removed":  (*contacts).remove,
	"removed and added again": func(w *contacts, value string) {
		w.remove(value)
		field, list := "email", "emails"
		if value == number {
			field, list = "phone_number", "phone_numbers"
		}
		w.ok("PUT", "/v1/auth/users/user_"+w.user+"/update", object{list: []object{{field: value}}})
	},
	"person deleted": func(w *contacts, _ string) { w.ok("DELETE", "/v1/auth/users/user_"+w.user+"/delete", nil) },
	"person deleted and made again": func(w *contacts, value string) {
		w.ok("DELETE", "/v1/auth/users/user_"+w.user+"/delete", nil)
		w.ok("POST", "/v1/auth/users/create", object{"email": sentTo, "phone_number": number})
	},
	"taken over": func(w *contacts, value string) {
		w.remove(value)
		field := "email"
		if value == number {
			field = "phone_number"
		}
		w.ok("POST", "/v1/auth/users/create", object{field: value})
	},
	"imported without it": func(w *contacts, value string) { w.reimport(value, "") },
	"removed, and an older export was changed later": func(w *contacts, value string) {
		w.afterExport(func() { w.remove(value) })
	},
	"replaced, and an older export was changed later": func(w *contacts, value string) {
		w.afterExport(func() { w.replace(value) })
	},
	"imported with another's place": func(w *contacts, value string) {
		w.reimport(value, rival)
	},
}

func (w *contacts) replace(value string) {
	w.T.Helper()
	if value == number { // no call replaces a number
		w.remove(value)
		w.ok("PUT", "/v1/auth/users/user_"+w.user+"/update", object{"phone_numbers": []object{{"phone_number": "+14155550199"}}})
		return
	}
	a := w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": moved})
	if a.String("email") != moved {
		w.T.Errorf("the new address is not the person's own: %s", a.Text)
	}
}

func (w *contacts) remove(value string) {
	w.T.Helper()
	kind := "emails"
	if value == number {
		kind = "phone_numbers"
	}
	w.ok("DELETE", "/v1/auth/users/"+kind+"/"+w.ids[value]+"/delete", nil)
}

// reimport imports the person as another instance may know it: without the
// contact, which rival has if that is not empty.
func (w *contacts) reimport(value, rival string) {
	w.T.Helper()
	now := w.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)
	person := func(sub, emails, phones string) string {
		return `{"type":"app_person","sub":"` + sub + `","realm":"shop/live","created":"2026-01-01T00:00:00Z","emails":[` + emails + `],"phones":[` + phones + `],"updated":"` + now + `"}` + "\n"
	}
	contact := func(value string) string {
		_, id, _ := strings.Cut(w.ids[value], "_")
		if id == "" {
			id = strings.Repeat("7", 27)
		}
		return `{"id":"` + strings.TrimPrefix(id, "number_") + `","value":"` + value + `","verified":true,"created":"2026-01-01T00:00:00Z","updated":"2026-01-01T00:00:00Z"}`
	}
	emails, phones := contact(beside), contact(number)
	if value == number {
		emails, phones = contact(sentTo)+","+contact(beside), ""
	}
	if _, err := w.Core.Move().Import(w.T.Context(), strings.NewReader(person(w.user, emails, phones))); err != nil {
		w.T.Fatal(err)
	}
	if rival == "" {
		return
	}
	emails, phones = contact(rival)+","+contact(value), ""
	if value == number {
		emails, phones = contact(rival), contact(value)
	}
	if _, err := w.Core.Move().Import(w.T.Context(), strings.NewReader(person(strings.Repeat("8", 27), emails, phones))); err != nil {
		w.T.Fatal(err)
	}
}

// afterExport imports what an instance says that was split off before do, and has
// changed the person since.
func (w *contacts) afterExport(do func()) {
	w.T.Helper()
	line := w.exported(w.user)
	do()
	w.bring(line)
}

// bring imports the line of a person, changed a second from now.
func (w *contacts) bring(line object) {
	w.T.Helper()
	line["updated"], line["plan"] = w.Now().Add(time.Second).UTC().Format(time.RFC3339Nano), "pro"
	text, err := json.Marshal(line)
	if err != nil {
		w.T.Fatal(err)
	}
	if done, err := w.Core.Move().Import(w.T.Context(), bytes.NewReader(text)); err != nil || done.AppPeople != 1 {
		w.T.Fatal(done, err)
	}
}

// exported is the line of a person in an export.
func (w *contacts) exported(sub string) (line object) {
	w.T.Helper()
	var out bytes.Buffer
	if _, err := w.Core.Move().Export(w.T.Context(), &out, false); err != nil {
		w.T.Fatal(err)
	}
	for text := range bytes.Lines(out.Bytes()) {
		line = nil
		if err := json.Unmarshal(text, &line); err != nil {
			w.T.Fatal(err)
		}
		if line["type"] == "app_person" && line["sub"] == sub {
			return line
		}
	}
	w.T.Fatal("the person is not in the export")
	return nil
}

// sent is something that was sent: use answers whether it still lets in, and
// with what text.
type sent struct {
	to  string // sentTo or number
	use func() (in bool, text string)
}

// kinds are all the things that are sent.
var kinds = map[string]func(w *contacts) sent{
	"StackBE link verified by the app": func(w *contacts) sent {
		w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": sentTo, "redirectUrl": "https://app.example.com/in"})
		token := w.mailedToken()
		return sent{sentTo, func() (bool, string) {
			a := w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token})
			return a.String("sessionToken") != "", a.Text
		}}
	},
	"StackBE link followed": func(w *contacts) sent {
		w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": sentTo, "redirectUrl": "https://app.example.com/in"})
		token := w.mailedToken()
		return sent{sentTo, func() (bool, string) {
			a := w.Do("GET", "/v1/apps/shop/auth/verify?redirect=true&token="+token, nil, "User-Agent", "Mozilla/5.0", "Accept", "text/html")
			return strings.Contains(a.Header.Get("Location"), "token="), a.Header.Get("Location") + a.Text
		}}
	},
	"StackBE link by its button": func(w *contacts) sent {
		w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": sentTo, "redirectUrl": "https://app.example.com/in"})
		path := "/v1/apps/shop/auth/verify?token=" + w.mailedToken()
		return sent{sentTo, func() (bool, string) {
			page := w.Do("GET", path, nil)
			a := w.Do("POST", path, url.Values{}, "Sec-Fetch-Site", "same-origin")
			return strings.Contains(a.Header.Get("Location"), "token="), page.Text + a.Header.Get("Location") + a.Text
		}}
	},
	"StackBE invitation's link": func(w *contacts) sent {
		org := w.acme()
		w.ok("POST", "/v1/apps/shop/organizations/"+org+"/invites", object{"email": sentTo, "role": "member", "redirectUrl": "https://app.example.com/in"})
		token := w.mailedToken()
		return sent{sentTo, func() (bool, string) {
			a := w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token})
			members := w.ok("GET", "/v1/apps/shop/organizations/"+org+"/members", nil)
			return a.String("sessionToken") != "" || strings.Contains(members.Text, `"member"`), a.Text + members.Text
		}}
	},
	"StackBE invitation accepted by whoever has the address now": func(w *contacts) sent {
		org := w.acme()
		invites := "/v1/apps/shop/organizations/" + org + "/invites"
		id := w.ok("POST", invites, object{"email": sentTo, "role": "member", "redirectUrl": "https://app.example.com/in"}).String("id")
		return sent{sentTo, func() (bool, string) {
			w.Sleep(2 * time.Minute)
			if w.key("GET", "/v1/customers?email="+sentTo, nil).Status != 200 {
				return false, ""
			}
			w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": sentTo, "redirectUrl": "https://app.example.com/in"})
			session := w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()}).String("sessionToken")
			listed := w.ok("GET", invites, nil)
			resent := w.key("POST", invites+"/"+id+"/resend", object{"redirectUrl": "https://app.example.com/in"})
			a := w.Do("POST", "/v1/apps/shop/organizations/invites/accept", object{"inviteId": id}, "Authorization", "Bearer "+session)
			return a.Status == 200 || strings.Contains(listed.Text, id) || resent.Status != 404, a.Text + listed.Text
		}}
	},
	"Streambird link": func(w *contacts) sent {
		w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": sentTo})
		return w.streambirdLink(w.mailedToken())
	},
	"Streambird link that the app delivers": func(w *contacts) sent {
		return w.streambirdLink(w.ok("POST", "/v1/auth/magic_links/create", object{"user_id": "user_" + w.user}).String("token"))
	},
	"Streambird invitation": func(w *contacts) sent {
		w.ok("POST", "/v1/auth/magic_links/email/invite", object{"email": sentTo})
		return w.streambirdLink(w.mailedToken())
	},
	"Streambird link that extends a session": func(w *contacts) sent {
		session := w.prove(beside).String("session_token")
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": sentTo}).String("token")
		return sent{sentTo, func() (bool, string) {
			a := w.key("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
			return a.Status == 200, "" // the session names both, which were proved
		}}
	},
	"Streambird hosted page": func(w *contacts) sent {
		poll, digits := w.hosted()
		path := "/v1/auth/magic_links/hosted/shop?token=" + w.mailedToken()
		return sent{sentTo, func() (bool, string) {
			page := w.Do("GET", path, nil)
			a := w.Do("POST", path, digits, "Sec-Fetch-Site", "same-origin")
			waited := w.key("POST", "/v1/auth/magic_links/email/login_status", poll)
			return a.Status == 200 || waited.Status == 200, page.Text + a.Text + waited.Text
		}}
	},
	"Streambird poll token of a link that was followed": func(w *contacts) sent {
		poll, digits := w.hosted()
		if a := w.Do("POST", "/v1/auth/magic_links/hosted/shop?token="+w.mailedToken(), digits, "Sec-Fetch-Site", "same-origin"); a.Status != 200 {
			w.T.Fatal(a.Status, a.Text)
		}
		return sent{sentTo, func() (bool, string) {
			a := w.key("POST", "/v1/auth/magic_links/email/login_status", poll)
			return a.Status == 200, a.Text
		}}
	},
	"Streambird code by mail": func(w *contacts) sent {
		id := w.ok("POST", "/v1/auth/otps/email/send", object{"email": sentTo, "expires_in": 10}).String("email_id")
		return w.streambirdCode(sentTo, id, w.LastMail().Code)
	},
	"Streambird code by text message": func(w *contacts) sent {
		id := w.ok("POST", "/v1/auth/otps/sms/send", object{"phone_number": number, "expires_in": 10}).String("phone_number_id")
		return w.streambirdCode(number, id, w.LastText().Code)
	},
	"Link code by mail": func(w *contacts) sent {
		w.remove(number)
		return w.linkCode(sentTo, func() string { return w.LastMail().Code })
	},
	"Link code by text message, address gone": func(w *contacts) sent {
		w.trustNumber()
		return w.linkCode(sentTo, func() string { return w.LastText().Code })
	},
	"Link code by text message, number gone": func(w *contacts) sent {
		w.trustNumber()
		return w.linkCode(number, func() string { return w.LastText().Code })
	},
	"reflex password": func(w *contacts) sent {
		code := w.ok("POST", "/reflex/otp", object{"email": sentTo, "deliver": "email"}).String("otp")
		return sent{sentTo, func() (bool, string) {
			a := w.Do("POST", "/reflex/validate", object{"email": sentTo, "otp": code})
			b := w.key("POST", "/reflex/validate", object{"email": sentTo, "otp": code})
			return a.Get("valid") != false || b.Get("valid") != false && a.Status == 200, a.Text + b.Text
		}}
	},
	"reflex link": func(w *contacts) sent {
		u, err := url.Parse(w.ok("POST", "/reflex/otp", object{"email": sentTo}).String("magic_link"))
		if err != nil {
			w.T.Fatal(err)
		}
		return sent{sentTo, func() (bool, string) {
			a := w.Do("POST", u.Path, u.Query(), "Sec-Fetch-Site", "same-origin")
			return a.Header.Get("Set-Cookie") != "", a.Text
		}}
	},
	"reflex record": func(w *contacts) sent {
		a := w.ok("POST", "/reflex/otp", object{"email": sentTo, "rate_limit": 1})
		id := regexp.MustCompile(`"id":[0-9]+`).FindString(a.Text)
		return sent{sentTo, func() (bool, string) {
			w.From("198.51.100.7")
			a := w.key("POST", "/reflex/otp", object{"email": sentTo, "rate_limit": 1})
			return strings.Contains(a.Text, id), "" // the record of one who has it names it
		}}
	},
}

func (w *contacts) streambirdLink(token string) sent {
	return sent{sentTo, func() (bool, string) {
		a := w.key("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_expires_in": 60})
		return a.Status == 200, a.Text
	}}
}

func (w *contacts) streambirdCode(to, id, code string) sent {
	return sent{to, func() (bool, string) {
		a := w.key("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": code, "session_expires_in": 60})
		return a.Status == 200, a.Text
	}}
}

// hosted asks for a link to a page of ours, and returns what to wait with and
// what to type there.
func (w *contacts) hosted() (object, url.Values) { return w.hostedFor(sentTo) }

func (w *contacts) hostedFor(email string) (object, url.Values) {
	a := w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": email, "auto_verify": true})
	return object{"email_id": a.String("email_id"), "request_origin_token": a.String("request_origin_token")}, url.Values{"digits": {a.String("verification_digits")}}
}

func (w *contacts) linkCode(to string, code func() string) sent {
	secret := w.Do("GET", "/api/lookup-email?email="+sentTo+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil).String("client_secret")
	if a := w.Do("POST", "/api/start_verification", object{"client_secret": secret, "email": sentTo}); a.Status != 200 {
		w.T.Fatal(a.Status, a.Text)
	}
	body := object{"client_secret": secret, "email": sentTo, "code": code()}
	return sent{to, func() (bool, string) {
		a := w.Do("POST", "/api/authenticate", body)
		return a.Get("authenticationSuccessful") != false || a.Get("user") != nil, a.Text
	}}
}

// Whatever was sent to an address or a number dies with it, in every dialect,
// and no answer tells what the person has in its place.
func TestWhatWasSentDiesWithItsContact(t *testing.T) {
	for kind, send := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Run("alive", func(t *testing.T) {
				w := newContacts(t)
				s := send(w)
				in, text := s.use()
				if !in {
					t.Errorf("it does not work at all: %s", text)
				}
				if strings.Contains(text, beside) {
					t.Errorf("the answer names an address that was not proved: %s", text)
				}
			})
			for way, die := range ways {
				t.Run(way, func(t *testing.T) {
					w := newContacts(t)
					s := send(w)
					die(w, s.to)
					in, text := s.use()
					if in {
						t.Errorf("it still lets in: %s", text)
					}
					for _, other := range []string{beside, moved, rival} {
						if strings.Contains(text, other) {
							t.Errorf("the answer names %s: %s", other, text)
						}
					}
				})
			}
		})
	}
}

// An address that is only attached names nobody, and what is sent to it waits for
// whoever proves it. That dies, too, once the address is taken from who had it.
func TestWhatWasSentToAnAttachedAddressDiesWithIt(t *testing.T) {
	taken := map[string]func(w *contacts){
		"another has it attached": func(w *contacts) {
			other := w.ok("POST", "/v1/auth/users/create", object{"email": rival}).String("user_id")
			w.prove(rival)
			w.attach(strings.TrimPrefix(other, "user_"), sentTo)
		},
		"nothing of the person is left": func(w *contacts) {
			w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": moved})
		},
	}
	for _, way := range []string{"removed", "removed and added again", "person deleted", "imported without it", "removed, and an older export was changed later"} {
		taken[way] = func(w *contacts) { ways[way](w, sentTo) }
	}
	for _, kind := range []string{
		"StackBE link verified by the app", "StackBE link followed", "StackBE link by its button", "StackBE invitation's link",
		"Streambird link", "Streambird invitation", "Streambird hosted page", "Streambird code by mail", "reflex password", "reflex link",
	} {
		for way, take := range taken {
			t.Run(kind+", "+way, func(t *testing.T) {
				w := newContacts(t)
				w.prove(beside)
				s := kinds[kind](w)
				take(w)
				if in, text := s.use(); in {
					t.Errorf("it still lets in: %s", text)
				}
			})
		}
	}
}

// Of a line that names an address which is gone here all the rest is taken over.
func TestImportBringsNoContactBack(t *testing.T) {
	for _, way := range []string{"removed", "replaced"} {
		w := newContacts(t)
		w.prove(sentTo)
		w.afterExport(func() { ways[way](w, sentTo) })
		a := w.ok("GET", "/v1/customers/cust_"+w.user, nil)
		if a.String("plan") != "pro" {
			t.Errorf("%s: what is newer is not taken over: %s", way, a.Text)
		}
		user := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
		if strings.Contains(user.Text, sentTo) || strings.Contains(user.Text, moved) != (way == "replaced") {
			t.Errorf("%s: %s", way, user.Text)
		}
		if b := w.ok("POST", "/v1/auth/users/create", object{"email": sentTo}); b.String("user_id") == "user_"+w.user {
			t.Errorf("%s: %s", way, b.Text)
		}
	}
	t.Run("an address that left as a person of its own", func(t *testing.T) {
		w := newContacts(t)
		w.afterExport(func() {
			w.prove(beside)
			if a := w.prove(sentTo); a.String("user_id") == "user_"+w.user {
				t.Fatal(a.Text)
			}
		})
		if a := w.ok("GET", "/v1/customers?email="+sentTo, nil); a.String("id") == "cust_"+w.user {
			t.Error(a.Text)
		}
	})
	t.Run("what was added on either side stays", func(t *testing.T) {
		w := newContacts(t)
		w.prove(sentTo)
		line := w.exported(w.user)
		w.Sleep(time.Minute)
		w.remove(beside)
		w.Sleep(time.Minute)
		w.attach(w.user, moved)
		there := object{"id": strings.Repeat("6", 27), "value": "there@example.com", "created": w.Now().UTC(), "updated": w.Now().UTC()}
		line["emails"] = append(line["emails"].([]any)[1:], there) // sentTo was removed there
		w.bring(line)
		a := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
		for email, stays := range map[string]bool{sentTo: false, beside: false, moved: true, "there@example.com": true} {
			if strings.Contains(a.Text, email) != stays {
				t.Errorf("%s: %s", email, a.Text)
			}
		}
	})
	t.Run("400 days later", func(t *testing.T) {
		w := newContacts(t)
		w.afterExport(func() {
			w.remove(sentTo)
			w.Sleep(401 * 24 * time.Hour)
		})
		if a := w.ok("GET", "/v1/auth/users/user_"+w.user, nil); !strings.Contains(a.Text, sentTo) {
			t.Errorf("it is gone for good: %s", a.Text)
		}
	})
}

// A customer's new address takes the place of the one that GET /v1/customers/{id} names,
// or of the last one that took such a place and was not proved.
func TestWhichAddressANewOneReplaces(t *testing.T) {
	const third = "third@example.com"
	with := func(w *contacts, email, session string) {
		w.T.Helper()
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": email}).String("token")
		w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
	}
	patch := func(w *contacts, email string) {
		w.T.Helper()
		if a := w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"email": email}); a.String("email") != email {
			w.T.Error(a.Text)
		}
	}
	has := func(w *contacts, wanted ...string) {
		w.T.Helper()
		a := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
		for _, email := range []string{sentTo, beside, third, moved, rival} {
			if strings.Contains(a.Text, email) != slices.Contains(wanted, email) {
				w.T.Errorf("want %v: %s", wanted, a.Text)
			}
		}
	}
	two := func(t *testing.T) *contacts {
		w := newContacts(t)
		with(w, beside, w.prove(sentTo).String("session_token"))
		return w
	}
	for _, by := range []string{sentTo, beside} {
		t.Run("signed in by "+by, func(t *testing.T) {
			w := two(t)
			w.signIn(by)
			if a := w.ok("GET", "/v1/customers/cust_"+w.user, nil); a.String("email") != sentTo {
				t.Error(a.Text)
			}
			patch(w, moved)
			has(w, beside, moved)
			if a := w.ok("GET", "/v1/customers/cust_"+w.user, nil); a.String("email") != beside {
				t.Errorf("what was not proved names nobody: %s", a.Text)
			}
			if a := w.signIn(beside); a.String("customerId") != "cust_"+w.user {
				t.Error(a.Text)
			}
		})
	}
	t.Run("once more", func(t *testing.T) {
		w := two(t)
		patch(w, moved)
		patch(w, moved)
		has(w, beside, moved)
	})
	t.Run("misspelt", func(t *testing.T) {
		w := two(t)
		patch(w, moved)
		patch(w, rival)
		has(w, beside, rival)
	})
	t.Run("misspelt, and another one goes meanwhile", func(t *testing.T) {
		w := two(t)
		w.attach(w.user, third)
		patch(w, moved)
		w.remove(third)
		patch(w, rival)
		has(w, beside, rival)
	})
	t.Run("beside one that was never proved", func(t *testing.T) {
		w := newContacts(t)
		session := w.prove(sentTo).String("session_token")
		w.attach(w.user, third)
		with(w, third, session)
		w.remove(sentTo)
		if a := w.ok("GET", "/v1/customers/cust_"+w.user, nil); a.String("email") != third {
			t.Error(a.Text)
		}
		patch(w, moved)
		has(w, moved) // of which nothing was proved, so the person passes
	})
	t.Run("beside one that was never proved, and two", func(t *testing.T) {
		w := newContacts(t)
		session := w.prove(sentTo).String("session_token")
		for _, email := range []string{third, rival} {
			w.attach(w.user, email)
			with(w, email, session)
		}
		w.remove(sentTo)
		patch(w, moved)
		has(w, beside, rival, moved)
	})
}

// A session names the address that was proved, and ends with it.
func TestSessionsNameWhatWasProved(t *testing.T) {
	session := map[string]func(w *contacts, email string) func() (live bool, text string){
		"StackBE": func(w *contacts, email string) func() (bool, string) {
			w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": email, "redirectUrl": "https://app.example.com/in"})
			a := w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()})
			jwt := a.String("sessionToken")
			return func() (bool, string) {
				b := w.Do("GET", "/v1/apps/shop/auth/session", nil, "Authorization", "Bearer "+jwt)
				return b.Status == 200, b.Text
			}
		},
		"reflex": func(w *contacts, email string) func() (bool, string) {
			code := w.ok("POST", "/reflex/otp", object{"email": email}).String("otp")
			token := w.Do("POST", "/reflex/validate", object{"email": email, "otp": code}).String("session_token")
			return func() (bool, string) {
				b := w.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token)
				return b.Get("session_is_valid") == true, b.Text
			}
		},
		"Streambird": func(w *contacts, email string) func() (bool, string) {
			token := w.prove(email).String("session_token")
			return func() (bool, string) {
				b := w.key("POST", "/v1/auth/sessions/verify", object{"session_token": token})
				return b.Status == 200, b.Text
			}
		},
	}
	for dialect, begin := range session {
		for email, other := range map[string]string{sentTo: beside, beside: sentTo} {
			t.Run(dialect+" "+email, func(t *testing.T) {
				w := newContacts(t)
				look := begin(w, email)
				live, text := look()
				if !live || !strings.Contains(text, email) || strings.Contains(text, other) {
					t.Errorf("%v %s", live, text)
				}
			})
		}
		for way, die := range ways {
			t.Run(dialect+" "+way, func(t *testing.T) {
				w := newContacts(t)
				look := begin(w, sentTo)
				die(w, sentTo)
				if live, text := look(); live || strings.Contains(text, "@") {
					t.Errorf("%v %s", live, text)
				}
				if list := w.key("GET", "/v1/auth/sessions/list?user_id=user_"+w.user, nil); strings.Contains(list.Text, "started_at") {
					t.Errorf("it is listed: %s", list.Text)
				}
			})
		}
	}
}

// A session that rests on two proofs goes on with the one that is left.
func TestSessionGoesOnWithTheOtherProof(t *testing.T) {
	w := newContacts(t)
	token := w.prove(sentTo).String("session_token")
	second := w.ok("POST", "/v1/auth/magic_links/create", object{"email": beside}).String("token")
	w.ok("POST", "/v1/auth/magic_links/verify", object{"token": second, "session_token": token})
	w.remove(sentTo)
	a := w.ok("POST", "/v1/auth/sessions/verify", object{"session_token": token})
	if strings.Contains(a.Text, sentTo) || !strings.Contains(a.Text, beside) {
		t.Error(a.Text)
	}
	w.remove(beside)
	if a := w.key("POST", "/v1/auth/sessions/verify", object{"session_token": token}); a.Status != 401 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// Whoever has an account made with a stranger's address beside their own does
// not share it with the stranger: what was there before the address was proved
// is none of its owner's.
func TestNobodyPreparesAnAccountForAStranger(t *testing.T) {
	user := func(w *contacts) string { // whose sentTo is
		return strings.TrimPrefix(w.ok("GET", "/v1/customers?email="+sentTo, nil).String("id"), "cust_")
	}
	lives := func(w *contacts, session string) bool {
		return w.key("POST", "/v1/auth/sessions/verify", object{"session_token": session}).Status == 200
	}
	for _, kind := range []string{
		"StackBE link verified by the app", "StackBE link followed", "StackBE link by its button", "StackBE invitation's link",
		"Streambird link", "Streambird invitation", "Streambird hosted page", "Streambird code by mail",
		"reflex password", "reflex link", // Link knows no such address, see TestAnUnprovedAddressNamesNobody
	} {
		prove := kinds[kind]
		use := func(t *testing.T, w *contacts) {
			t.Helper()
			if ok, text := prove(w).use(); !ok {
				t.Fatalf("the owner is refused: %s", text)
			}
		}
		t.Run(kind+", beside an address that was proved", func(t *testing.T) {
			w := newContacts(t)
			session := w.prove(beside).String("session_token")
			w.Sleep(time.Minute)
			use(t, w)
			if user(w) == w.user {
				t.Error("the owner signs in to the account of who prepared it")
			}
			if !lives(w, session) {
				t.Error("the other's session ended")
			}
			for _, path := range []string{"/v1/customers/cust_" + w.user, "/v1/auth/users/user_" + w.user} {
				if a := w.key("GET", path, nil); strings.Contains(a.Text, sentTo) {
					t.Errorf("the other still has the address: %s", a.Text)
				}
			}
			if list := w.key("GET", "/v1/auth/sessions/list?user_id=user_"+user(w), nil); strings.Contains(list.Text, beside) {
				t.Errorf("sessions of the owner: %s", list.Text)
			}
		})
		t.Run(kind+", attached afterwards", func(t *testing.T) {
			w := newContacts(t)
			w.remove(sentTo)
			w.prove(beside)
			w.Sleep(time.Minute)
			w.attach(w.user, sentTo)
			use(t, w)
			if user(w) == w.user {
				t.Error("the owner signs in to the account of who had the address attached")
			}
			w.Sleep(time.Minute)
			if a := w.prove(beside); a.String("user_id") != "user_"+w.user {
				t.Errorf("the other has lost their account: %s", a.Text)
			}
			if list := w.ok("GET", "/v1/apps/shop/organizations?customerId=cust_"+w.user, nil); strings.Contains(list.Text, "Acme") {
				t.Errorf("the owner's invitation made the other a member: %s", list.Text)
			}
		})
		t.Run(kind+", before the other", func(t *testing.T) {
			w := newContacts(t)
			use(t, w)
			owner := user(w)
			w.Sleep(time.Minute)
			if a := w.prove(beside); strings.TrimPrefix(a.String("user_id"), "user_") == owner || owner != w.user {
				t.Errorf("the other signs in to the owner's account: %s", a.Text)
			}
		})
	}
	t.Run("a link that was followed before", func(t *testing.T) {
		w := newContacts(t)
		w.remove(sentTo)
		poll, digits := w.hostedFor(beside)
		w.Do("POST", "/v1/auth/magic_links/hosted/shop?token="+w.mailedToken(), digits, "Sec-Fetch-Site", "same-origin")
		w.Sleep(time.Minute)
		w.attach(w.user, sentTo)
		owner := w.prove(sentTo).String("user_id")
		if a := w.key("POST", "/v1/auth/magic_links/email/login_status", poll); a.String("user_id") == owner {
			t.Errorf("it makes a session of the owner: %s", a.Text)
		}
	})
	t.Run("an invitation goes with the address", func(t *testing.T) {
		w := newContacts(t)
		w.remove(sentTo)
		other := w.prove(beside)
		w.attach(w.user, sentTo)
		org := w.acme()
		id := w.ok("POST", "/v1/apps/shop/organizations/"+org+"/invites", object{"email": sentTo, "role": "admin", "redirectUrl": "https://app.example.com/in"}).String("id")
		invited := w.mailedToken()
		accept := func(email string) apitest.Answer {
			t.Helper()
			w.Sleep(2 * time.Minute)
			w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": email, "redirectUrl": "https://app.example.com/in"})
			jwt := w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()}).String("sessionToken")
			return w.Do("POST", "/v1/apps/shop/organizations/invites/accept", object{"inviteId": id}, "Authorization", "Bearer "+jwt)
		}
		if a := accept(beside); a.Status != 403 {
			t.Errorf("who has the address attached: %d %s", a.Status, a.Text)
		}
		if a := accept(sentTo); a.Status != 200 {
			t.Errorf("its owner: %d %s", a.Status, a.Text)
		}
		if a := w.key("POST", "/v1/apps/shop/auth/verify", object{"token": invited}); a.Status == 200 {
			t.Errorf("it counts twice: %s", a.Text)
		}
		if !lives(w, other.String("session_token")) {
			t.Error("the other's session ended")
		}
		members := w.ok("GET", "/v1/apps/shop/organizations/"+org+"/members", nil)
		if strings.Contains(members.Text, w.user) || !strings.Contains(members.Text, user(w)) {
			t.Error(members.Text)
		}
	})
	t.Run("with a session, attached afterwards", func(t *testing.T) {
		w := newContacts(t)
		w.remove(sentTo)
		session := w.prove(beside).String("session_token")
		w.Sleep(time.Minute)
		w.attach(w.user, sentTo)
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": sentTo}).String("token")
		a := w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
		if !lives(w, session) || a.String("user_id") != "user_"+w.user || user(w) != w.user {
			t.Errorf("a second address of one's own: %s", a.Text)
		}
	})
	for what, body := range map[string]object{"with login_or_create": {"email": sentTo}, "with login_or_create, hosted by the app": {"email": sentTo, "login_redirect_url": "https://app.example.com/authenticate"}} {
		t.Run("with a session, "+what, func(t *testing.T) {
			for _, shown := range []bool{true, false} {
				w := newContacts(t)
				w.remove(sentTo)
				session := w.prove(beside).String("session_token")
				w.attach(w.user, sentTo)
				if a := w.ok("POST", "/v1/auth/magic_links/email/login_or_create", body); a.String("user_id") == "user_"+w.user {
					t.Errorf("an address that was never proved names the user: %s", a.Text)
				}
				proof := object{"token": w.mailedToken(), "session_expires_in": 60}
				if shown {
					proof["session_token"] = session
				}
				a := w.ok("POST", "/v1/auth/magic_links/verify", proof)
				if (a.String("user_id") == "user_"+w.user) != shown || (user(w) == w.user) != shown || !lives(w, session) {
					t.Errorf("session shown: %v, %s", shown, a.Text)
				}
				if !shown {
					continue
				}
				if got := a.Text; !strings.Contains(got, w.ids[sentTo]) || !strings.Contains(got, beside) {
					t.Errorf("the session has not gained it: %s", got)
				}
			}
		})
	}
	t.Run("a number attached afterwards", func(t *testing.T) {
		w := newContacts(t)
		w.trustNumber()
		id := w.ok("POST", "/v1/auth/otps/sms/send", object{"phone_number": number, "expires_in": 10}).String("phone_number_id")
		a := w.ok("POST", "/v1/auth/otps/verify", object{"method_id": id, "otp": w.LastText().Code, "session_expires_in": 60})
		if a.String("user_id") == "user_"+w.user {
			t.Errorf("the number's owner signs in to the account of who entered it: %s", a.Text)
		}
	})
	t.Run("with a session", func(t *testing.T) {
		w := newContacts(t)
		session := w.prove(beside).String("session_token")
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": sentTo}).String("token")
		a := w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
		if !lives(w, session) || a.String("user_id") != "user_"+w.user || user(w) != w.user {
			t.Errorf("a second address of one's own: %s", a.Text)
		}
	})
}

// An address that a person never proved beside one that they did names nobody:
// what an app gives to its owner is not that person's, and it is free for others.
func TestAnUnprovedAddressNamesNobody(t *testing.T) {
	ways := map[string]func(w *contacts){
		"attached first": func(w *contacts) { w.prove(beside) },
		"attached later": func(w *contacts) {
			w.remove(sentTo)
			w.prove(beside)
			w.attach(w.user, sentTo)
		},
		"in place of a proved one": func(w *contacts) {
			w.prove(sentTo)
			token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": beside}).String("token")
			session := w.prove(sentTo).String("session_token")
			w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
			w.remove(sentTo)
			w.attach(w.user, sentTo)
		},
	}
	bystander := func(w *contacts) string {
		id := w.ok("POST", "/v1/auth/users/create", object{"email": "owner@example.com"}).String("user_id")
		w.prove("owner@example.com")
		return strings.TrimPrefix(id, "user_")
	}
	for call, names := range map[string]func(w *contacts) (bool, string){
		"GET /v1/customers": func(w *contacts) (bool, string) {
			a := w.key("GET", "/v1/customers?email="+sentTo, nil)
			return a.Status != 404, a.Text
		},
		"GET /v1/customers/{id}": func(w *contacts) (bool, string) {
			a := w.ok("GET", "/v1/customers/cust_"+w.user, nil)
			return a.String("email") != beside, a.Text
		},
		"POST /v1/customers": func(w *contacts) (bool, string) {
			a := w.ok("POST", "/v1/customers", object{"email": sentTo})
			return a.String("id") == "cust_"+w.user || a.String("email") != sentTo, a.Text
		},
		"PATCH /v1/customers/{id}": func(w *contacts) (bool, string) {
			a := w.ok("PATCH", "/v1/customers/cust_"+w.user, object{"name": "Somebody"})
			return a.String("email") != beside, a.Text
		},
		"PATCH /v1/customers/{id} by the owner": func(w *contacts) (bool, string) {
			owner := bystander(w)
			a := w.key("PATCH", "/v1/customers/cust_"+owner, object{"email": sentTo})
			return a.String("email") != sentTo, a.Text
		},
		"POST users/create": func(w *contacts) (bool, string) {
			a := w.key("POST", "/v1/auth/users/create", object{"email": sentTo})
			return a.Status != 200 || a.String("user_id") == "user_"+w.user, a.Text
		},
		"PUT users/update by the owner": func(w *contacts) (bool, string) {
			a := w.key("PUT", "/v1/auth/users/user_"+bystander(w)+"/update", object{"emails": []object{{"email": sentTo}}})
			return a.Status != 200, a.Text
		},
		"users/{user_id}": func(w *contacts) (bool, string) {
			a := w.ok("GET", "/v1/auth/users/user_"+w.user, nil)
			return a.String("email_id") != w.ids[beside], a.Text
		},
		"users/search": func(w *contacts) (bool, string) {
			a := w.ok("POST", "/v1/auth/users/search", object{"filters": object{"fields": []object{{"field": "email", "operator": "eq", "value": sentTo}}}})
			return strings.Contains(a.Text, w.user), a.Text
		},
		"magic_links/create by user_id": func(w *contacts) (bool, string) {
			a := w.ok("POST", "/v1/auth/magic_links/create", object{"user_id": "user_" + w.user})
			b := w.ok("POST", "/v1/auth/magic_links/verify", object{"token": a.String("token"), "session_expires_in": 60})
			return a.String("email_id") != w.ids[beside] || b.String("user_id") != "user_"+w.user || strings.Contains(b.Text, sentTo), b.Text
		},
		"Link lookup": func(w *contacts) (bool, string) {
			a := w.Do("GET", "/api/lookup-email?email="+sentTo+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil)
			return a.Get("userExistsOnLink") != false, a.Text
		},
		"members": func(w *contacts) (bool, string) {
			org := w.acme()
			w.ok("POST", "/v1/apps/shop/organizations/"+org+"/members", object{"customerId": "cust_" + w.user, "role": "member"})
			a := w.ok("GET", "/v1/apps/shop/organizations/"+org+"/members", nil)
			return strings.Contains(a.Text, sentTo) || !strings.Contains(a.Text, beside), a.Text
		},
	} {
		for way, set := range ways {
			t.Run(call+", "+way, func(t *testing.T) {
				w := newContacts(t)
				set(w)
				if names, text := names(w); names {
					t.Error(text)
				}
			})
		}
	}
	t.Run("while nothing is proved", func(t *testing.T) {
		w := newContacts(t)
		for _, email := range []string{sentTo, beside} {
			if a := w.ok("GET", "/v1/customers?email="+email, nil); a.String("id") != "cust_"+w.user || a.String("email") != email {
				t.Error(a.Text)
			}
			if a := w.key("PUT", "/v1/auth/users/user_"+bystander(w)+"/update", object{"emails": []object{{"email": email}}}); a.Status != 409 {
				t.Errorf("it is another's: %s", a.Text)
			}
			w.ok("DELETE", "/v1/auth/users/user_"+strings.TrimPrefix(w.ok("GET", "/v1/customers?email=owner@example.com", nil).String("id"), "cust_")+"/delete", nil)
		}
	})
}

// Whoever names an address makes nobody of it: not a visitor with a publishable
// key, and not a customer who invites it. Its owner does, by the proof.
func TestNobodyIsMadeBeforeTheProof(t *testing.T) {
	const named = "named@example.com"
	invite := func(w *contacts, by string) (org, id string) {
		org = w.acme()
		a := w.Do("POST", "/v1/apps/shop/organizations/"+org+"/invites", object{"email": named, "role": "member"}, "Authorization", "Bearer "+by)
		if a.Status != 201 {
			w.T.Fatal(a.Status, a.Text)
		}
		return org, a.String("id")
	}
	boss := func(w *contacts) string {
		w.acme()
		w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": "boss@example.com", "redirectUrl": "https://app.example.com/in"})
		return w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()}).String("sessionToken")
	}
	pub := func(w *contacts, path string) {
		w.App.AutoCreate = true
		if a := w.Do("POST", path, object{"email": named, "expires_in": 10}, "Authorization", "Bearer "+apitest.LivePub); a.Status != 200 {
			w.T.Fatal(a.Status, a.Text)
		}
		w.LastMail() // what pages began ends with auto_create
		w.App.AutoCreate = false
	}
	// What names it, and what its owner proves it with, if that counts.
	ways := map[string]func(w *contacts) (prove func() apitest.Answer){
		"a code by the publishable key": func(w *contacts) func() apitest.Answer {
			pub(w, "/v1/auth/otps/email/login_or_create")
			return func() apitest.Answer { return apitest.Answer{} }
		},
		"a link by the publishable key": func(w *contacts) func() apitest.Answer {
			pub(w, "/v1/auth/magic_links/email/login_or_create")
			token := w.mailedToken()
			return func() apitest.Answer {
				w.App.AutoCreate = true
				return w.key("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_expires_in": 60})
			}
		},
		"an invitation of a customer": func(w *contacts) func() apitest.Answer {
			invite(w, boss(w))
			token := w.mailedToken()
			return func() apitest.Answer {
				return w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token})
			}
		},
		"an invitation of the app": func(w *contacts) func() apitest.Answer {
			invite(w, apitest.LiveKey)
			token := w.mailedToken()
			return func() apitest.Answer {
				return w.key("POST", "/v1/apps/shop/auth/verify", object{"token": token})
			}
		},
		"an invitation that was withdrawn": func(w *contacts) func() apitest.Answer {
			by := boss(w)
			org, id := invite(w, by)
			if a := w.Do("DELETE", "/v1/apps/shop/organizations/"+org+"/invites/"+id, nil, "Authorization", "Bearer "+by); a.Status != 200 {
				w.T.Fatal(a.Status, a.Text)
			}
			return func() apitest.Answer { return apitest.Answer{} }
		},
	}
	found := func(w *contacts) (out []string) {
		if a := w.key("GET", "/v1/customers?email="+named, nil); a.Status != 404 {
			out = append(out, "GET customers: "+a.Text)
		}
		if a := w.key("POST", "/v1/apps/shop/auth/magic-link", object{"email": named, "redirectUrl": "https://app.example.com/in"}); a.Status != 400 {
			out = append(out, "magic-link: "+a.Text)
		}
		if a := w.Do("GET", "/api/lookup-email?email="+named+"&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil); a.Get("userExistsOnLink") != false {
			out = append(out, "lookup: "+a.Text)
		}
		if a := w.key("POST", "/v1/auth/otps/email/send", object{"email": named}); a.Status != 404 {
			out = append(out, "otps/email/send: "+a.Text)
		}
		if a := w.key("POST", "/v1/auth/magic_links/create", object{"email": named}); a.Status != 404 {
			out = append(out, "magic_links/create: "+a.Text)
		}
		if a := w.ok("POST", "/v1/auth/users/search", object{}); strings.Contains(a.Text, named) {
			out = append(out, "users/search: "+a.Text)
		}
		return out
	}
	owner := func(w *contacts) string {
		id := w.ok("POST", "/v1/auth/users/create", object{"email": "owner@example.com"}).String("user_id")
		w.prove("owner@example.com")
		return strings.TrimPrefix(id, "user_")
	}
	for way, name := range ways {
		start := func(t *testing.T) (*contacts, func() apitest.Answer) {
			w := newContacts(t)
			w.App.AutoCreate, w.App.DevCallback = false, "https://app.example.com/in"
			return w, name(w)
		}
		t.Run(way, func(t *testing.T) {
			w, prove := start(t)
			for _, text := range found(w) {
				t.Error(text)
			}
			if a := prove(); a.Text != "" && (a.Status != 200 || w.ok("GET", "/v1/customers?email="+named, nil).Status != 200) {
				t.Errorf("its owner's proof makes nobody: %s", a.Text)
			}
		})
		t.Run(way+", its owner moves there", func(t *testing.T) {
			w, prove := start(t)
			who := owner(w)
			if a := w.ok("PATCH", "/v1/customers/cust_"+who, object{"email": named}); a.String("email") != named {
				t.Error(a.Text)
			}
			if a := prove(); a.Status == 200 {
				t.Errorf("who is known by it has it, and the link goes elsewhere: %s", a.Text)
			}
		})
		t.Run(way+", its owner has it attached", func(t *testing.T) {
			w, _ := start(t)
			who := owner(w)
			w.attach(who, named)
			token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": named}).String("token")
			session := w.prove("owner@example.com").String("session_token")
			if a := w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session}); a.String("user_id") != "user_"+who {
				t.Error(a.Text)
			}
		})
		t.Run(way+", the app makes them", func(t *testing.T) {
			w, prove := start(t)
			id := w.ok("POST", "/v1/customers", object{"email": named}).String("id")
			if a := prove(); a.Text != "" && (a.Status != 200 || !strings.Contains(a.Text, strings.TrimPrefix(id, "cust_"))) {
				t.Errorf("what was sent before is not theirs: %s", a.Text)
			}
		})
	}
	t.Run("the app asks, and nobody is held up", func(t *testing.T) {
		w := newContacts(t)
		made := w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": named}).String("user_id")
		if a := w.ok("GET", "/v1/customers?email="+named, nil); "user_"+strings.TrimPrefix(a.String("id"), "cust_") != made {
			t.Error(a.Text)
		}
		who := owner(w)
		w.ok("PATCH", "/v1/customers/cust_"+who, object{"email": named})
		if a := w.ok("GET", "/v1/customers?email="+named, nil); a.String("id") != "cust_"+who {
			t.Error(a.Text)
		}
	})
	t.Run("what the app says of them is theirs", func(t *testing.T) {
		w := newContacts(t)
		made := w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": named}).String("user_id")
		w.ok("PATCH", "/v1/customers/cust_"+strings.TrimPrefix(made, "user_"), object{"name": "Named"})
		if a := w.key("PATCH", "/v1/customers/cust_"+owner(w), object{"email": named}); a.Status != 400 {
			t.Error(a.Text)
		}
	})
	asked := map[string]func(w *contacts) string{
		"login_or_create": func(w *contacts) string {
			return w.ok("POST", "/v1/auth/magic_links/email/login_or_create", object{"email": named}).String("user_id")
		},
		"magic-link": func(w *contacts) string {
			w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": named, "redirectUrl": "https://app.example.com/in"})
			return w.ok("GET", "/v1/customers?email="+named, nil).String("id")
		},
		"reflex": func(w *contacts) string {
			w.ok("POST", "/reflex/otp", object{"email": named})
			return w.ok("GET", "/v1/customers?email="+named, nil).String("id")
		},
		"invite": func(w *contacts) string {
			return w.ok("POST", "/v1/auth/magic_links/email/invite", object{"email": named}).String("user_id")
		},
		"invite by name": func(w *contacts) string {
			return w.ok("POST", "/v1/auth/magic_links/email/invite", object{"email": named, "first_name": "Nina"}).String("user_id")
		},
	}
	said := map[string]func(w *contacts, id string){
		"a member": func(w *contacts, id string) {
			w.ok("POST", "/v1/apps/shop/organizations/"+w.acme()+"/members", object{"customerId": "cust_" + id, "role": "admin"})
		},
		"an owner": func(w *contacts, id string) {
			w.ok("POST", "/v1/apps/shop/organizations", object{"name": "Beta", "ownerId": "cust_" + id})
		},
		"a plan": func(w *contacts, id string) {
			w.ok("PATCH", "/v1/customers/cust_"+id, object{"metadata": object{"a": 1}})
		},
		"nothing": func(*contacts, string) {},
	}
	for way, ask := range asked {
		for word, say := range said {
			t.Run(way+", "+word+", keeps what the app says", func(t *testing.T) {
				w := newContacts(t)
				id := ask(w)
				_, id, _ = strings.Cut(id, "_")
				say(w, id)
				keeps := word != "nothing" || way == "invite by name"
				who := owner(w)
				a := w.key("PUT", "/v1/auth/users/user_"+who+"/update", object{"emails": []object{{"email": named}}})
				if keeps != (a.Status == 409) {
					t.Errorf("attached to another: %d %s", a.Status, a.Text)
				}
				if b := w.key("PATCH", "/v1/customers/cust_"+who, object{"email": named}); keeps != (b.Status == 400) {
					t.Errorf("another's own: %d %s", b.Status, b.Text)
				}
				if mine := w.signIn(named).String("customerId") == "cust_"+id; mine != keeps {
					t.Errorf("whoever proves it is the one that the app made: %v", mine)
				}
			})
		}
	}
	t.Run("an invitation goes to whoever proves the address", func(t *testing.T) {
		w := newContacts(t)
		w.App.DevCallback = "https://app.example.com/in"
		org, id := invite(w, apitest.LiveKey)
		who := owner(w)
		w.attach(who, named)
		token := w.ok("POST", "/v1/auth/magic_links/create", object{"email": named}).String("token")
		session := w.prove("owner@example.com").String("session_token")
		w.ok("POST", "/v1/auth/magic_links/verify", object{"token": token, "session_token": session})
		w.Sleep(time.Hour)
		w.ok("POST", "/v1/apps/shop/auth/magic-link", object{"email": named, "redirectUrl": "https://app.example.com/in"})
		jwt := w.ok("POST", "/v1/apps/shop/auth/verify", object{"token": w.mailedToken()}).String("sessionToken")
		a := w.Do("POST", "/v1/apps/shop/organizations/invites/accept", object{"inviteId": id}, "Authorization", "Bearer "+jwt)
		if a.Status != 200 || a.String("customerId") != "cust_"+who || a.String("organizationId") != org {
			t.Error(a.Text)
		}
	})
}
