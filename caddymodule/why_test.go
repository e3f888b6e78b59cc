package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// seeker is somebody who asks for a code, in a browser of their own.
type seeker struct {
	o       *operated
	email   string
	cookies []string
}

func (s *seeker) post(path string, form url.Values) *http.Response {
	s.o.Helper()
	resp := s.o.fetch(s.o.client(false), "POST", path, strings.NewReader(form.Encode()),
		"Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin", "Cookie: "+strings.Join(s.cookies, "; "))
	for _, c := range resp.Cookies() {
		s.cookies = append(s.cookies, c.Name+"="+c.Value)
	}
	return resp
}

// asks asks for a code.
func (o *operated) asks(email string) *seeker {
	o.Helper()
	s := &seeker{o: o, email: email}
	s.post("/_gatehouse/login", url.Values{"email": {email}})
	return s
}

func (s *seeker) answers(code string) { s.post("/_gatehouse/code", url.Values{"code": {code}}) }

func wrongCode(code string) string {
	return code[:len(code)-1] + string('0'+(code[len(code)-1]-'0'+1)%10)
}

// everyOutcome brings about each outcome that a code can have, for a person of
// its own.
func (o *operated) everyOutcome() map[string]string {
	o.Helper()
	o.asks("mallory@example.net")
	o.mail.RefuseTo("deferred@example.com", 450)
	o.asks("deferred@example.com")
	o.mail.RefuseTo("refused@example.com", 550)
	o.asks("refused@example.com")
	o.asks("accepted@example.com")
	o.asks("limited@example.com")
	o.asks("limited@example.com")
	o.asks("opened@example.com")
	link, err := url.Parse(o.mail.NextTo(o, "opened@example.com").Link(o))
	must(o, err)
	o.fetch(o.client(false), "GET", link.Path, nil)
	wrong := o.asks("wrong@example.com")
	wrong.answers(wrongCode(o.code("wrong@example.com")))
	locked := o.asks("locked@example.com")
	code := wrongCode(o.code("locked@example.com"))
	for range 5 {
		locked.answers(code)
	}
	used := o.asks("used@example.com")
	used.answers(o.code("used@example.com"))
	return map[string]string{
		"mallory@example.net": "not_allowed", "deferred@example.com": "deferred", "refused@example.com": "refused",
		"accepted@example.com": "accepted", "limited@example.com": "limited", "opened@example.com": "link_opened",
		"wrong@example.com": "wrong_code", "locked@example.com": "locked", "used@example.com": "used",
	}
}

// Whatever became of a code, the command tells it, and so does the audit log
// alone.
func TestWhyTellsEveryOutcome(t *testing.T) {
	o := newOperated(t)
	config := strings.Replace(string(o.config("", "*@example.com")), `"count":1000`, `"count":1`, 1)
	o.load([]byte(config))
	site := o.origin("app.example.com")
	for email, want := range o.everyOutcome() {
		o.whyAgrees(email, site, want)
	}
	reached, release := o.mail.Hold(smtptest.Data)
	o.asks("queued@example.com")
	<-reached
	o.whyAgrees("queued@example.com", site, "queued")
	release()
	o.whyAgrees("queued@example.com", site, "accepted")

	short := strings.Replace(config, `"limits":`, `"code":{"digits":6,"lifetime":"1s","attempts":5},"limits":`, 1)
	o.load([]byte(strings.Replace(short, `"count":1`, `"count":2`, 1)))
	late := o.asks("expired@example.com")
	code := o.code("expired@example.com")
	first := o.whyAgrees("expired@example.com", site, "expired")
	late.answers(code) // which brings a new one
	if refused := o.audited("answer_refused"); refused[len(refused)-1]["reason"] != "expired" || refused[len(refused)-1]["challenge"] != first {
		t.Errorf("%v is not about %s", refused[len(refused)-1], first)
	}
	o.code("expired@example.com")
	if second := o.whyAgrees("expired@example.com", site, "expired"); second == first {
		t.Error("there is no new code")
	}

	o.mail.Stop()
	o.asks("first@example.com") // meets the failure
	o.whyAgrees("first@example.com", site, "deferred")
	eventually(t, "mail is down", func() bool {
		var s operate.Status
		o.want(200, "GET", "/gatehouse/status", "", &s)
		return s.Mail.Down
	})
	o.asks("down@example.com")
	o.whyAgrees("down@example.com", site, "mail_down")
}

// whyAgrees waits until the command tells what became of the person's newest
// code, and compares with what the log tells. It returns the code's challenge.
func (o *operated) whyAgrees(email, site, want string) (challenge string) {
	o.Helper()
	var why operate.Why
	newest := func() string {
		text, _, _ := o.command("why", email, site, "--json")
		why = operate.Why{}
		must(o, json.Unmarshal([]byte(text), &why))
		if len(why.Mails) == 0 {
			return "none"
		}
		return why.Mails[0].Outcome
	}
	eventually(o, email+" is "+want, func() bool { return newest() == want })
	m := why.Mails[0]
	if m.Site != site || (m.Challenge == "") != (want == "limited") {
		o.Errorf("%s: %+v", email, m)
	}
	if slices.Contains([]string{"accepted", "deferred", "refused", "used"}, want) && m.Sender != "smtp "+o.mail.Addr {
		o.Errorf("%s: by sender %q", email, m.Sender)
	}
	// The log has it, if not at once: a code can expire before its mail is out.
	eventually(o, email+" is "+want+" by the log", func() bool { return o.outcomeInLog(why.Mark, m.Challenge) == want })
	text, _, _ := o.command("why", email, site)
	wantText(o, text, want+" at "+site, "mark in the audit log: "+why.Mark)
	return m.Challenge
}

// outcomeInLog is what docs/audit.md says about the lines of one challenge, or
// of the start of somebody that led to none.
func (o *operated) outcomeInLog(mark, challenge string) string {
	o.Helper()
	has := map[string]map[string]any{}
	for _, e := range o.audited("") {
		id, _ := e["challenge"].(string)
		if e["mark"] != mark || id != challenge || e["letter"] != nil {
			continue
		}
		reason, _ := e["reason"].(string)
		has[strings.TrimSpace(e["event"].(string)+" "+reason)] = e
	}
	for _, row := range []struct{ event, outcome string }{
		{"challenge not_allowed", "not_allowed"}, {"challenge_refused limited", "limited"}, {"challenge_refused mail_down", "mail_down"},
		{"signed_in", "used"}, {"answer_refused locked", "locked"}, {"mail_failed rejected", "refused"},
	} {
		if has[row.event] != nil {
			return row.outcome
		}
	}
	begun, sent := has["challenge"], has["mail_sent"] != nil
	if renewed := has["challenge renewed"]; renewed != nil {
		begun = renewed
	}
	switch {
	case begun == nil:
		return "nothing"
	case sent && float64(time.Now().UnixNano())/1e9 > begun["expires"].(float64):
		return "expired"
	case has["answer_refused wrong_code"] != nil:
		return "wrong_code"
	case has["link_opened other_browser"] != nil:
		return "link_opened"
	case sent:
		return "accepted"
	case has["mail_failed deferred"] != nil, has["mail_failed sender_down"] != nil:
		return "deferred"
	}
	return "queued"
}

// Where several gates stand each has its verdict: the whole says only whether
// all of them let the person pass.
func TestWhyGivesEachGateItsVerdict(t *testing.T) {
	o := newOperated(t)
	o.sites = `https://shop.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse any {
		deny mallory@example.net
	}
	gatehouse /admin/* staff {
		fresh 4h
	}
	respond shop
}
`
	o.run("", "staff")
	app, shop := o.origin("app.example.com"), o.origin("shop.example.com")
	const nobody = "not allowed: no entry names this address"
	at := map[string]string{"app": strings.TrimPrefix(app, "https://"), "shop": strings.TrimPrefix(shop, "https://")}
	at["admin"] = at["shop"] + " /admin/*"
	for _, test := range []struct {
		email, site, all string
		each             map[string]string // of several gates
	}{
		{"alice@example.com", shop + "/admin/x", "allowed, by staff", map[string]string{"shop": "allowed, by any", "admin": "allowed, by staff"}},
		{"carol@example.net", shop + "/admin/x", nobody, map[string]string{"shop": "allowed, by any", "admin": nobody}},
		{"mallory@example.net", shop + "/admin", "not allowed: deny mallory@example.net", map[string]string{"shop": "not allowed: deny mallory@example.net", "admin": nobody}},
		{"carol@example.net", shop + "/", "allowed, by any", nil},
		{"carol@example.net", "", "allowed, by any", map[string]string{"app": nobody, "shop": "allowed, by any", "admin": nobody}},
		{"mallory@example.net", "", nobody, map[string]string{"app": nobody, "shop": "not allowed: deny mallory@example.net", "admin": nobody}},
	} {
		args := []string{"why", test.email}
		if test.site != "" {
			args = append(args, test.site)
		}
		out, _, _ := o.command(args...)
		if !strings.HasPrefix(out, test.all+"\n") {
			t.Errorf("%v:\n%s", args, out)
		}
		for gate, verdict := range test.each {
			wantText(t, out, "  gate "+at[gate]+": "+verdict+"\n")
		}
		text, _, _ := o.command(append(args, "--json")...)
		var why operate.Why
		must(t, json.Unmarshal([]byte(text), &why))
		if len(why.Gates) != max(1, len(test.each)) {
			t.Errorf("%v: %+v", args, why.Gates)
		}
		for _, gate := range why.Gates {
			if (gate.At == at["admin"]) != (len(gate.Besides) == 1) {
				t.Errorf("%v: %+v", args, gate)
			}
		}
	}
}

// TestTheMostSpecificSiteIsAsked: where a site with a star covers one that is named,
// only the named one's gate is met, and nothing that tells of the site asks the other.
func TestTheMostSpecificSiteIsAsked(t *testing.T) {
	o := newOperated(t)
	o.sites = `https://*.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse staff {
		name "Everything"
	}
	respond all
}
https://open.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse any {
		name "Open"
	}
	respond open
}
https://shut.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse boss@example.com
	respond shut
}
https://part.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse /deep/* any
	respond part
}
https://auth.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_portal
}
http://:` + caddytest.FreePort(t) + ` {
	bind 127.0.0.1
	gatehouse_authz {
		login https://auth.example.com:{port}
		site *.behind.example.com boss@example.com
		site *.example.net staff
		site *.example.net:8443 staff
		site open.behind.example.com any
		site open.example.net any {
			name "Open, behind"
		}
		site shut.example.net boss@example.com
	}
}
`
	o.run("domain example.com", "staff")
	for site, want := range map[string]string{
		"https://open.example.com:{port}/x":     "carol alice",
		"https://shut.example.com:{port}/x":     "",
		"https://other.example.com:{port}/x":    "alice",
		"https://part.example.com:{port}/deep/": "carol alice",
		"https://open.behind.example.com/":      "carol alice",
		"https://x.behind.example.com/":         "",
		"https://open.example.net/x":            "carol alice",
		"https://open.example.net:8443/x":       "alice",
		"https://shut.example.net/":             "",
		"https://other.example.net/":            "alice",
	} {
		for _, name := range []string{"carol", "alice"} {
			text, _, _ := o.command("why", name+"@example.com", strings.ReplaceAll(site, "{port}", o.port()), "--json")
			var why operate.Why
			must(t, json.Unmarshal([]byte(text), &why))
			if len(why.Gates) != 1 || why.Allowed != strings.Contains(want, name) {
				t.Errorf("%s at %s: %+v", name, site, why.Gates)
			}
		}
	}
	app := runningApp(o.gatedCaddy)
	for name, want := range map[string]string{
		"carol": "https://open.behind.example.com https://open.example.com:{port} https://open.example.net https://part.example.com:{port}",
		"alice": "https://app.example.com:{port} https://open.behind.example.com https://open.example.com:{port} https://open.example.net https://part.example.com:{port}",
		"boss":  "https://open.behind.example.com https://open.example.com:{port} https://open.example.net https://part.example.com:{port} https://shut.example.com:{port} https://shut.example.net",
	} {
		address, err := address.Parse(name + "@example.com")
		must(t, err)
		visitor := &session.Session{Address: address}
		var sites []string
		for _, site := range app.sitesFor(visitor, netip.Addr{}) {
			sites = append(sites, site.String())
			if !app.opens(visitor, site) {
				t.Errorf("%s is told of %s and may not open it", name, site)
			}
		}
		if got := strings.Join(sites, " "); got != strings.ReplaceAll(want, "{port}", o.port()) {
			t.Errorf("%s may open %s", name, got)
		}
	}
	address, err := address.Parse("alice@example.com")
	must(t, err)
	alice := &session.Session{Address: address}
	for site, want := range map[string]string{o.origin("open.example.com"): "Open", o.origin("other.example.com"): "Everything", o.origin("shut.example.com"): "", "https://open.example.net": "Open, behind"} {
		at := mustOrigin(t, site)
		if got := app.site(at).Title; got != want {
			t.Errorf("%s is called %q", site, got)
		}
		if app.opens(alice, at) != (want != "") {
			t.Errorf("alice may open %s: %v", site, want == "")
		}
	}
}

// One client can cause lines without end, but not about everybody: those about
// other people at the same network are not lost.
func TestAuditTellsPeopleOfOneNetworkApart(t *testing.T) {
	o := newOperated(t)
	o.load([]byte(strings.Replace(string(o.config("", "*@example.com")), `"count":1000`, `"count":1`, 1)))
	for range 3 {
		o.asks("alice@example.com")
		o.asks("bob@example.com")
	}
	if found := o.audited("challenge_refused"); len(found) != 2 || found[0]["mark"] == found[1]["mark"] {
		t.Errorf("%v", found)
	}
}

// The commands don't put an address where Caddy's own log of admin requests
// would show it.
func TestCommandsKeepAddressesOutOfURLs(t *testing.T) {
	o := newOperated(t)
	o.run("", "*@example.com")
	o.signIn("alice@example.com")
	for _, args := range [][]string{{"why", "alice@example.com"}, {"sessions", "alice@example.com"}, {"users", "alice@example.com"}, {"test-email", "alice@example.com"}, {"revoke", "alice@example.com"}} {
		o.done(args...)
	}
	asked := 0
	for _, e := range o.lines() {
		uri, _ := e["uri"].(string)
		if e["logger"] != "admin.api" || !strings.HasPrefix(uri, cli.Root) {
			continue
		}
		asked++
		if regexp.MustCompile(`alice|@|%40`).MatchString(uri) {
			t.Error(uri)
		}
	}
	if asked < 8 {
		t.Errorf("%d calls are in the log", asked)
	}
}
