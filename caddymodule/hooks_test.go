package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

const mailgunHookKey = "0123456789abcdef0123456789abcdef-01234567-89abcdef"

// portalSite is a portal beside the site of operated.
const portalSite = `https://auth.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_portal
}
`

// hooked is a server that Mailgun reports to.
func hooked(t *testing.T, who string) *operated {
	o := newOperated(t)
	o.sites = portalSite
	o.run("hooks {\n\t\t\tmailgun_key "+mailgunHookKey+"\n\t\t}", who)
	return o
}

// mailgunStandIn is a stand-in for Mailgun: it signs its reports as Mailgun does.
type mailgunStandIn struct {
	o     *operated
	key   string
	at    time.Time
	token string
}

func (o *operated) mailgun() *mailgunStandIn {
	return &mailgunStandIn{o: o, key: mailgunHookKey, at: time.Now(), token: strings.Repeat("0", 30) + fmt.Sprintf("%020d", time.Now().UnixNano())}
}

func (g *mailgunStandIn) body(event map[string]any) string {
	at := fmt.Sprint(g.at.Unix())
	mac := hmac.New(sha256.New, []byte(g.key))
	mac.Write([]byte(at + g.token))
	text, err := json.Marshal(map[string]any{
		"signature":  map[string]any{"timestamp": at, "token": g.token, "signature": hex.EncodeToString(mac.Sum(nil))},
		"event-data": event,
	})
	must(g.o, err)
	return string(text)
}

func (g *mailgunStandIn) posts(body string) (status int, answer string) {
	g.o.Helper()
	return g.o.atPortal("POST", "/_gatehouse/hooks/mailgun", body)
}

// reports posts an event about a mail to somebody, and wants this status.
func (g *mailgunStandIn) reports(status int, messageID, to string, event map[string]any) string {
	g.o.Helper()
	all := map[string]any{
		"id": "G9Bn5sl1TC6nu79C8C0bwg", "timestamp": float64(g.at.UnixMilli()) / 1000, "log-level": "error",
		"recipient": to, "recipient-domain": to[strings.IndexByte(to, '@')+1:], "tags": []string{}, "user-variables": map[string]any{},
		"message": map[string]any{"headers": map[string]any{"to": to, "message-id": messageID, "subject": "…"}, "size": 111},
	}
	for name, value := range event {
		all[name] = value
	}
	got, answer := g.posts(g.body(all))
	if got != status {
		g.o.Fatalf("%v: %d, want %d: %s", event, got, status, answer)
	}
	return answer
}

func (o *operated) atPortal(method, path, body string) (status int, answer string) {
	o.Helper()
	r, err := http.NewRequest(method, o.origin("auth.example.com")+path, strings.NewReader(body))
	must(o, err)
	r.Header.Set("Content-Type", "application/json")
	resp, err := o.client(false).Do(r)
	must(o, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(o, err)
	return resp.StatusCode, string(text)
}

// gets starts in a browser and returns the Message-ID of the mail that comes.
func (v *visitor) gets(email string) string {
	v.o.Helper()
	if status, _ := v.starts(email); status != 303 {
		v.o.Fatalf("a start for %s: %d", email, status)
	}
	for {
		mail := v.o.mail.NextTo(v.o, email)
		m := mail.Parse(v.o)
		if strings.Contains(m.Text, "/_gatehouse/link/") {
			v.code = mail.Code(v.o)
			return strings.Trim(m.Header.Get("Message-ID"), "<>")
		}
	}
}

var (
	hardBounce = map[string]any{"event": "failed", "severity": "permanent", "reason": "bounce", "delivery-status": map[string]any{
		"attempt-no": 1, "code": 550, "enhanced-code": "5.1.1", "bounce-type": "hard", "description": nil,
		"message": "5.1.1 <gone@example.com>: no such user; 482913 is your code https://app.example.com/_gatehouse/link/AAAA",
	}}
	suppressed = map[string]any{"event": "failed", "severity": "permanent", "reason": "suppress-bounce", "delivery-status": map[string]any{
		"attempt-no": 1, "code": 605, "message": "", "description": "Not delivering to previously bounced address", "session-seconds": 0,
	}}
	complained = map[string]any{"event": "complained"}
	policyNo   = map[string]any{"event": "failed", "severity": "permanent", "reason": "bounce", "delivery-status": map[string]any{"code": 554, "enhanced-code": "5.7.1", "message": "blocked"}}
	tooOld     = map[string]any{"event": "failed", "severity": "permanent", "reason": "old", "delivery-status": map[string]any{"code": 602, "message": "Too old"}}
	deferred   = map[string]any{"event": "failed", "severity": "temporary", "reason": "generic", "delivery-status": map[string]any{"code": 451, "message": "4.3.0 later"}}
	delivered  = map[string]any{"event": "delivered", "delivery-status": map[string]any{"code": 250, "message": "OK"}}
)

// changing is what differs between two pages of one kind.
var changing = regexp.MustCompile(`name="flow" value="[^"]*"|data-wait="[0-9]*"|You can ask again in [^<]*`)

// Mail that came back, or was called spam, holds further mail to that address from
// browsers that nobody knows; for a browser that has signed in with it nothing changes.
func TestBounceHoldsMail(t *testing.T) {
	for name, event := range map[string]map[string]any{"hard bounce": hardBounce, "suppressed": suppressed, "complaint": complained} {
		t.Run(name, func(t *testing.T) {
			o := hooked(t, "alice@example.com bob@example.com")
			known := o.visitor()
			known.starts("alice@example.com")
			known.types(o.code("alice@example.com"))
			id := o.visitor().gets("alice@example.com")
			wantText(t, o.mailgun().reports(200, id, "alice@example.com", event), "noted")

			stranger := o.visitor()
			if status, _ := stranger.starts("alice@example.com"); status != 303 {
				t.Errorf("a start for an address whose mail came back: %d", status)
			}
			_, held := stranger.send("GET", "/_gatehouse/code", nil)
			nobody := o.visitor()
			nobody.starts("mallory@example.net")
			_, other := nobody.send("GET", "/_gatehouse/code", nil)
			blank := func(page, email string) string {
				return changing.ReplaceAllString(strings.ReplaceAll(page, email, "ADDRESS"), "")
			}
			if blank(held, "alice@example.com") != blank(other, "mallory@example.net") {
				t.Errorf("it looks otherwise:\n%s\n%s", held, other)
			}
			if got := stranger.types("123456"); got != 422 {
				t.Errorf("an answer to what was never sent: %d", got)
			}
			eventually(t, "why tells", func() bool { return strings.Contains(o.done("why", "alice@example.com"), "held at ") })
			wantText(t, o.done("why", "alice@example.com"), "is held until", "because other mail "+map[bool]string{true: "was called spam", false: "came back"}[name == "complaint"], "by mailgun")
			for _, secret := range []string{"482913", "gone@example.com", "/_gatehouse/link"} {
				if strings.Contains(o.done("why", "alice@example.com"), secret) {
					t.Errorf("why repeats %s", secret)
				}
			}

			delete(known.jar, "__Host-gatehouse")
			delete(known.jar, "__Host-gatehouse-flow")
			known.gets("alice@example.com")
			o.visitor().gets("bob@example.com")

			wantText(t, o.done("unlock", "alice@example.com"), "holds no other any more")
			o.visitor().gets("alice@example.com")
			var why operate.Why
			o.document(&why, "why", "alice@example.com")
			if why.HeldUntil != nil || len(why.Problems) != 1 {
				t.Errorf("%+v", why)
			}
		})
	}
}

// Who has read a mail has the mailbox, and what an operator has lifted does not come
// back by what is told late.
func TestReportsThatHoldNoMore(t *testing.T) {
	o := hooked(t, "*@example.com")
	held := func(who string) bool {
		t.Helper()
		var why operate.Why
		o.document(&why, "why", who)
		return why.HeldUntil != nil
	}
	// A mail may come before its sender hears that it was taken.
	taken := func() {
		eventually(t, "no mail waits", func() bool { return strings.Contains(o.done("status"), "goes out, 0 wait\n") })
	}
	for n, event := range []map[string]any{hardBounce, suppressed, complained} {
		who := fmt.Sprintf("reader%d@example.com", n)
		v := o.visitor()
		id := v.gets(who)
		if got := v.types(v.code); got != 303 {
			t.Fatal(got)
		}
		o.mailgun().reports(200, id, who, event)
		if held(who) {
			t.Errorf("%v: a mail that was signed in with holds others", event)
		}
		id = o.visitor().gets(who)
		o.mailgun().reports(200, id, who, event)
		if !held(who) {
			t.Errorf("%v: the next one holds nothing", event)
		}
	}
	for n, event := range []map[string]any{hardBounce, suppressed, complained} {
		who := fmt.Sprintf("unlocked%d@example.com", n)
		first := o.visitor().gets(who)
		second := o.visitor().gets(who)
		o.mailgun().reports(200, first, who, event)
		if !held(who) {
			t.Fatalf("%v holds nothing", event)
		}
		taken()
		o.done("unlock", who)
		o.mailgun().reports(406, first, who, event) // told again
		o.mailgun().reports(200, second, who, event)
		if held(who) {
			t.Errorf("%v: what was sent before gatehouse unlock holds", event)
		}
		o.mailgun().reports(200, o.visitor().gets(who), who, event)
		if !held(who) {
			t.Errorf("%v: what was sent after it holds nothing", event)
		}
	}
	early := o.visitor().gets("early@example.com")
	taken()
	o.done("unlock", "early@example.com") // before anything came back
	o.mailgun().reports(200, early, "early@example.com", hardBounce)
	if held("early@example.com") {
		t.Error("what was sent before gatehouse unlock holds, though nothing had come back then")
	}
	wantText(t, o.done("status"), "5 complained about") // one of each mail
}

// What is no fault of the mailbox holds nothing, and shows all the same.
func TestReportsThatHoldNothing(t *testing.T) {
	o := hooked(t, "*@example.com")
	var id string
	for n, event := range []map[string]any{policyNo, tooOld, deferred, delivered} {
		who := fmt.Sprintf("person%d@example.com", n)
		v := o.visitor()
		id = v.gets(who)
		v.types(v.code)
		wantText(t, o.mailgun().reports(200, "<"+id+">", who, event), "noted")
		var why operate.Why
		o.document(&why, "why", who)
		if why.HeldUntil != nil {
			t.Errorf("%v holds mail", event)
		}
		o.visitor().gets(who)
	}
	eventually(t, "the domain has its figures", func() bool {
		var s operate.Status
		o.document(&s, "status")
		d := s.Mail.Domains
		return len(d) == 1 && d[0].Bounced == 2 && d[0].Deferred == 1 && d[0].Delivered == 1 && d[0].Accepted >= 8 && d[0].SignedIn == 4
	})
}

// Only who holds the key reports, in time, once, about a mail of ours to whom it
// was sent.
func TestForgedReports(t *testing.T) {
	o := hooked(t, "alice@example.com bob@example.com")
	id := o.visitor().gets("alice@example.com")
	free := func(what string) {
		t.Helper()
		var why operate.Why
		o.document(&why, "why", "alice@example.com")
		if why.HeldUntil != nil || len(why.Problems) > 0 {
			t.Fatalf("%s counts: %+v", what, why)
		}
	}
	forged := o.mailgun()
	forged.key = "another"
	forged.reports(403, id, "alice@example.com", hardBounce)
	free("a forged report")
	unsigned := o.mailgun()
	unsigned.posts(strings.Replace(unsigned.body(hardBounce), `"signature":"`, `"signature":"","x":"`, 1))
	free("an unsigned report")
	for _, age := range []time.Duration{6 * time.Minute, -6 * time.Minute} {
		old := o.mailgun()
		old.at = old.at.Add(-age)
		old.reports(406, id, "alice@example.com", hardBounce)
	}
	free("an old report")
	for _, foreign := range [][2]string{{"20130503192659.13651.20287@example.com", "alice@example.com"}, {id, "bob@example.com"}, {id, "not an address"}, {"", "alice@example.com"}} {
		if answer := o.mailgun().reports(200, foreign[0], foreign[1]+"", hardBounce); strings.Contains(answer, "noted") {
			t.Errorf("%v: %s", foreign, answer)
		}
	}
	free("a report about something else")

	once := o.mailgun()
	once.reports(200, id, "alice@example.com", map[string]any{"event": "delivered"})
	once.reports(406, id, "alice@example.com", hardBounce) // the signature covers the token alone
	free("a token that was seen")

	for want, request := range map[int][2]string{405: {"GET", ""}, 413: {"POST", strings.Repeat("x", 65<<10)}, 400: {"POST", "{}"}} {
		if got, answer := o.atPortal(request[0], "/_gatehouse/hooks/mailgun", request[1]); got != want {
			t.Errorf("%d, want %d: %s", got, want, answer)
		}
	}
	if got, _ := o.atPortal("POST", "/_gatehouse/hooks/other", "{}"); got != 404 {
		t.Error(got)
	}
	if resp := o.fetch(o.client(false), "POST", "/_gatehouse/hooks/mailgun", strings.NewReader(once.body(hardBounce)), "Sec-Fetch-Site: same-origin"); resp.StatusCode != 404 {
		t.Errorf("elsewhere than at the portal: %s", resp.Status)
	}
	o.run("", "alice@example.com")
	if got, _ := o.atPortal("POST", "/_gatehouse/hooks/mailgun", "{}"); got == 200 || got == 403 {
		t.Errorf("without hooks: %d", got)
	}
}

// What came back is told to its person, to operators and in the metrics, and goes
// with the person.
func TestBouncesAreTold(t *testing.T) {
	o := hooked(t, "alice@example.com")
	alice := o.visitor()
	id := alice.gets("alice@example.com")
	alice.types(alice.code)
	o.mailgun().reports(200, id, "alice@example.com", hardBounce)
	found := o.audited("mail_reported")
	if len(found) != 1 || found[0]["reason"] != "bounced" || found[0]["sender"] != "mailgun" || found[0]["level"] != "warn" || found[0]["message_id"] != id {
		t.Errorf("%v", found)
	}
	wantText(t, o.done("status"), "to example.com: ", "1 bounced")
	if m := o.metrics(); m[`caddy_gatehouse_domain_mails{domain="example.com",result="bounced"}`] != 1 {
		t.Errorf("%v", m)
	}
	portal := o.origin("auth.example.com") + "/_gatehouse/"
	alice = o.visitor()
	alice.send("POST", portal+"login", url.Values{"email": {"alice@example.com"}})
	alice.send("POST", portal+"code", url.Values{"code": {o.code("alice@example.com")}})
	status, text := alice.send("POST", portal+"account/export", nil)
	var own struct {
		Returned []struct{ Outcome, Detail string } `json:"returned_mails"`
	}
	if err := json.Unmarshal([]byte(text), &own); status != 200 || err != nil || len(own.Returned) != 1 || own.Returned[0].Outcome != "bounced" || !strings.HasPrefix(own.Returned[0].Detail, "550") {
		t.Errorf("%d, %v: %+v\n%s", status, err, own, text)
	}
	var users operate.User
	o.document(&users, "users", "alice@example.com")
	o.done("users", "alice@example.com", "--delete")
	text, _, code := o.command("why", "alice@example.com")
	if code != cli.ExitDone || strings.Contains(text, "bounced") || strings.Contains(text, "is held") {
		t.Errorf("%d: %s", code, text)
	}
}

// A domain whose mail takes its time gets codes that live longer, whoever asks, and
// the page says so.
func TestSlowDomain(t *testing.T) {
	o := newOperated(t)
	o.run("", "*@gmx.example alice@example.com")
	must(t, runningApp(o.gatedCaddy).open.store.Update(t.Context(), func(tx store.Tx) error {
		type sample struct {
			S int    `json:"s"`
			W string `json:"w"`
		}
		waits := []sample{{370, "a"}, {360, "b"}, {350, "c"}, {365, "d"}, {10, "e"}}
		day := fmt.Sprint(time.Now().Unix() / 86400)
		return store.Save(tx, store.KeyDomain+"gmx.example", map[string]any{
			"domain": "gmx.example", "accepted": waits, "days": map[string]any{day: map[string]int{"accepted": 5, "signed_in": 5}},
		}, time.Now().Add(time.Hour))
	}))
	o.load([]byte(`{"admin":{"listen":"` + o.admin + `","config":{"persist":false}}}`))
	o.run("", "*@gmx.example alice@example.com", "deny nobody@gmx.example")

	for who, slow := range map[string]bool{"anna@gmx.example": true, "nobody@gmx.example": true, "alice@example.com": false} {
		v := o.visitor()
		v.starts(who)
		_, page := v.send("GET", "/_gatehouse/code", nil)
		if strings.Contains(page, "usually takes about 6 minutes") != slow || strings.Contains(page, "works for 16 minutes") != slow {
			t.Errorf("%s: %s", who, page)
		}
	}
	if text := o.mail.NextTo(t, "anna@gmx.example").Parse(t).Text; !strings.Contains(text, "16 minutes") {
		t.Error(text)
	}
	eventually(t, "why tells", func() bool {
		return strings.Contains(o.done("why", "anna@gmx.example"), "gmx.example took the mail after 0 seconds; its usual wait is 6 minutes")
	})
	wantText(t, o.done("status"), "to gmx.example: ", "usually taken after 6 minutes")
	if m := o.metrics(); m[`caddy_gatehouse_domain_delay_seconds{domain="gmx.example"}`] != 360 {
		t.Errorf("%v", m)
	}
}
