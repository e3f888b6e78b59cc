package caddymodule

import (
	"net/url"
	"regexp"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

const deviceCookie = "__Host-gatehouse-device"

// knownTo asks, while mail is down, whether a browser with v's device cookie is known
// for email.
func (v *visitor) knownTo(email string) bool {
	v.o.Helper()
	fresh := v.o.visitor()
	if device := v.jar[deviceCookie]; device != "" {
		fresh.jar[deviceCookie] = device
	}
	ref, _ := fresh.stranded(email)
	out, _ := v.o.says("n\n", "admit", email, "--ref", ref)
	known := regexp.MustCompile(`which has (signed in|never)`).FindStringSubmatch(out)
	if known == nil {
		v.o.Fatal(out)
	}
	return known[1] == "signed in"
}

// in signs in with a code by mail.
func (v *visitor) in(email string) *visitor {
	v.o.Helper()
	v.starts(email)
	if got := v.types(v.o.code(email)); got != 303 {
		v.o.Fatal(got)
	}
	return v
}

// A browser that was let in by word of mouth is as unknown as before.
func TestAdmittedBrowserStaysUnknown(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff", "fresh 1h")
	o.visitor().in("alice@example.com")
	mallory, empty := o.visitor().in("bob@example.com"), o.visitor()
	o.mailGoesDown()
	for name, v := range map[string]*visitor{"a browser without cookies": empty, "one that has proved another address": mallory} {
		before := v.jar[deviceCookie]
		ref, _ := v.stranded("alice@example.com")
		var out operate.Admission
		o.document(&out, "admit", "alice@example.com", "--ref", ref, "--yes")
		if got := v.types(out.Code); got != 303 || out.Network != "this machine" || out.MailWorks {
			t.Fatalf("%s: %d, %+v", name, got, out)
		}
		if v.jar[deviceCookie] != before || v.knownTo("alice@example.com") {
			t.Errorf("%s: is known now", name)
		}
		if status, _ := v.send("GET", "/_gatehouse/session", nil); status != 200 {
			t.Errorf("%s: the session: %d", name, status)
		}
		if status, _ := v.send("GET", "/x", nil); status == 200 {
			t.Errorf("%s: counts as fresh", name)
		}
	}
	if !mallory.knownTo("bob@example.com") {
		t.Error("what it has proved itself is gone")
	}
	late, _ := o.visitor().stranded("alice@example.com")
	o.mailIsBack()
	out, _ := o.says("n\n", "admit", "alice@example.com", "--ref", late)
	wantText(t, out, "works again")
	if status, _ := o.visitor().in("alice@example.com").send("GET", "/x", nil); status != 200 {
		t.Errorf("with a code by mail: %d", status)
	}
}

// What a person or an operator does about a browser makes it unknown.
func TestKnownBrowsersAreTakenBack(t *testing.T) {
	for name, act := range map[string]func(o *operated, thief, owner *visitor, notMe string){
		"not me": func(o *operated, _, owner *visitor, notMe string) {
			if status, page := owner.send("POST", notMe, url.Values{"email": {"alice@example.com"}}); status != 303 {
				o.Fatal(status, page)
			}
		},
		"signed out elsewhere": func(o *operated, _, owner *visitor, _ string) {
			if status, page := owner.send("POST", "/_gatehouse/account/sessions/end-all", url.Values{"keep": {"on"}}); status != 303 {
				o.Fatal(status, page)
			}
		},
		"revoke":         func(o *operated, _, _ *visitor, _ string) { o.done("revoke", "alice@example.com") },
		"users --delete": func(o *operated, _, _ *visitor, _ string) { o.done("users", "alice@example.com", "--delete") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperated(t)
			o.run("", "staff")
			thief := o.visitor()
			thief.starts("alice@example.com")
			text := o.mail.NextTo(t, "alice@example.com").Parse(t).Text
			if got := thief.types(regexp.MustCompile(`\b[0-9]{3} ?[0-9]{3}\b`).FindString(text)); got != 303 {
				t.Fatal(got)
			}
			owner := o.visitor().in("alice@example.com")
			act(o, thief, owner, regexp.MustCompile(`/_gatehouse/not-me/[A-Za-z0-9_-]+`).FindString(text))
			o.mailGoesDown()
			if thief.knownTo("alice@example.com") {
				t.Error("it is still known")
			}
			if stays := name == "not me" || name == "signed out elsewhere"; owner.knownTo("alice@example.com") != stays {
				t.Errorf("the owner's own browser: %v", !stays)
			}
		})
	}
}
