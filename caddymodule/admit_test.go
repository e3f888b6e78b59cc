package caddymodule

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// visitor is somebody with a browser that keeps its cookies.
type visitor struct {
	o    *operated
	jar  map[string]string
	code string // of the mail that gets returned
}

func (o *operated) visitor() *visitor { return &visitor{o: o, jar: map[string]string{}} }

func (v *visitor) send(method, path string, form url.Values) (status int, body string) {
	v.o.Helper()
	var cookies []string
	for name, value := range v.jar {
		cookies = append(cookies, name+"="+value)
	}
	resp := v.o.fetch(v.o.client(false), method, path, strings.NewReader(form.Encode()),
		"Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin", "Cookie: "+strings.Join(cookies, "; "),
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0")
	for _, c := range resp.Cookies() {
		v.jar[c.Name] = c.Value
	}
	text, err := io.ReadAll(resp.Body)
	must(v.o, err)
	return resp.StatusCode, string(text)
}

// starts asks for a code for email.
func (v *visitor) starts(email string) (status int, page string) {
	v.o.Helper()
	return v.send("POST", "/_gatehouse/login", url.Values{"email": {email}})
}

// types answers with a code and returns the status.
func (v *visitor) types(code string) int {
	v.o.Helper()
	status, _ := v.send("POST", "/_gatehouse/code", url.Values{"code": {code}})
	return status
}

var referenceOnPage = regexp.MustCompile(`>([A-Z]{6})</bdi></p>`)

// stranded starts while mail is down and returns the reference and the page
// without it.
func (v *visitor) stranded(email string) (reference, page string) {
	v.o.Helper()
	status, page := v.starts(email)
	found := referenceOnPage.FindStringSubmatch(page)
	if status != 503 || found == nil {
		v.o.Fatalf("a start while mail is down: %d\n%s", status, page)
	}
	return found[1], strings.NewReplacer(found[1], "REF", email, "ADDRESS").Replace(page)
}

// mailGoesDown stops the mail server and lets somebody meet that.
func (o *operated) mailGoesDown() {
	o.Helper()
	o.mail.Stop()
	o.asks("bob@example.com")
	eventually(o, "mail is down", func() bool {
		var s operate.Status
		o.want(200, "GET", "/gatehouse/status", "", &s)
		return s.Mail.Down
	})
}

// mailIsBack starts it again and has that noticed.
func (o *operated) mailIsBack() {
	o.Helper()
	o.mail.Restart(o)
	o.done("test-email", "ops@example.net")
}

// says runs a command that is answered from the terminal.
func (o *operated) says(answer string, args ...string) (out string, code int) {
	o.Helper()
	out, errs, code := runCommand(o, strings.NewReader(answer), append(args, "--address", o.admin)...)
	return out + errs, code
}

var admittedCode = regexp.MustCompile(`code ([0-9]{6}), until`)

// While mail is down an operator lets one browser in, by word of mouth.
func TestAdmit(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	o.signIn("alice@example.com")
	o.mailGoesDown()
	alice, mallory := o.visitor(), o.visitor()
	ref, page := alice.stranded("alice@example.com")
	other, same := mallory.stranded("mallory@example.net")
	if page != same || ref == other {
		t.Errorf("an address that nobody admits looks otherwise:\n%s\n%s", page, same)
	}
	if again, _ := alice.stranded("alice@example.com"); again != ref {
		t.Error("the same start has another reference")
	}
	if status, page := alice.send("GET", "/_gatehouse/code", nil); status != 200 || !strings.Contains(page, ref) || !strings.Contains(page, `name="code"`) {
		t.Errorf("%d\n%s", status, page)
	}
	for range 7 { // not compared, so not counted
		if got := alice.types("123456"); got != 503 {
			t.Errorf("a code while an operator is awaited: %d", got)
		}
	}

	o.fails(cli.ExitUsage, []string{"--ref ABCDEF"}, "admit", "alice@example.com")
	o.fails(cli.ExitUsage, []string{"give --yes"}, "admit", "alice@example.com", "--ref", ref, "--json")
	o.fails(cli.ExitUsage, []string{"six letters"}, "admit", "alice@example.com", "--ref", "ABC")
	o.fails(cli.ExitNo, []string{"nothing waits"}, "admit", "alice@example.com", "--ref", other)
	o.fails(cli.ExitNo, []string{"no gate admits this address"}, "admit", "mallory@example.net", "--ref", other, "--yes")
	out, code := o.says("\n", "admit", "alice@example.com", "--ref", ref)
	wantText(t, out, "Firefox, Linux", "https://app.example.com", "this machine", "just now", "which has never signed in", "[y/N]")
	if code != cli.ExitNo || admittedCode.MatchString(out) || len(o.audited("admin_action")) != 0 {
		t.Errorf("%d: %s", code, out)
	}

	spelled := strings.ToLower(ref[:3] + "-" + ref[3:])
	out, code = o.says("y\n", "admit", "ALICE@example.com", "--ref", spelled, "--because", "knows her voice")
	found := admittedCode.FindStringSubmatch(out)
	if code != cli.ExitDone || found == nil {
		t.Fatalf("%d: %s", code, out)
	}
	if got := mallory.types(found[1]); got != 503 {
		t.Errorf("in another browser: %d", got)
	}
	if got := alice.types(wrongCode(found[1])); got != 422 {
		t.Errorf("a wrong code once one was given out: %d", got)
	}
	if status, _ := alice.starts("alice@example.com"); status != 303 {
		t.Errorf("whoever waits for a code and starts again: %d", status)
	}
	o.fails(cli.ExitNo, []string{"already"}, "admit", "alice@example.com", "--ref", ref, "--yes")
	if got := alice.types(found[1]); got != 303 || alice.jar["__Host-gatehouse"] == "" {
		t.Fatalf("the code: %d", got)
	}
	if status, _ := alice.send("GET", "/x", nil); status != 200 {
		t.Error(status)
	}
	delete(alice.jar, "__Host-gatehouse")
	if got := alice.types(found[1]); got != 410 {
		t.Errorf("the code once more: %d", got)
	}
	o.fails(cli.ExitNo, []string{"no code"}, "admit", "alice@example.com", "--ref", ref, "--yes")

	entries := o.audited("admin_action")
	if len(entries) != 1 || entries[0]["reason"] != "admit" || entries[0]["detail"] != "knows her voice" || entries[0]["operator"] == "" || entries[0]["challenge"] == nil {
		t.Errorf("%v", entries)
	}
	wantText(t, o.done("why", "alice@example.com"), "mail_down", "admitted", "used")
	log, err := os.ReadFile(o.logFile())
	must(t, err)
	if bytes.Contains(log, []byte(found[1])) {
		t.Error("the code stands in the log")
	}

	o.mailIsBack()
	for {
		m := o.mail.NextTo(t, "alice@example.com").Parse(t)
		if !strings.Contains(m.Subject, "given out") {
			continue // of the new browser
		}
		wantText(t, m.Text, "whoever runs app.example.com", "Firefox on Linux", "/_gatehouse/account")
		if strings.Contains(m.Text+m.Subject, found[1]) {
			t.Error(m.Text)
		}
		break
	}
}

// What an operator can't be talked into, and how the wait ends without one.
func TestAdmitRefusals(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff carol@example.com")
	o.asks("alice@example.com")
	notMe := regexp.MustCompile(`/_gatehouse/not-me/[A-Za-z0-9_-]+`).FindString(o.mail.NextTo(t, "alice@example.com").Parse(t).Text)
	pending := o.visitor()
	pending.starts("bob@example.com")
	held := o.code("bob@example.com")
	o.mailGoesDown()

	// Its owner has said "this wasn't me": an operator does not know better.
	o.visitor().send("POST", notMe, url.Values{"email": {"alice@example.com"}})
	ref, _ := o.visitor().stranded("alice@example.com")
	o.fails(cli.ExitNo, []string{"this wasn't me"}, "admit", "alice@example.com", "--ref", ref, "--yes")

	// A browser whose mail is on its way gets a reference, too, and keeps its code.
	ref, _ = pending.stranded("bob@example.com")
	if status, page := pending.send("POST", "/_gatehouse/resend", nil); status != 503 || !strings.Contains(page, ref) {
		t.Errorf("%d\n%s", status, page)
	}
	var out operate.Admission
	o.document(&out, "admit", "bob@example.com", "--ref", ref, "--yes")
	if out.Code != held || out.Refused != "" || out.Known || out.Agent == "" || out.Expires == nil {
		t.Errorf("%+v", out)
	}
	if got := pending.types(held); got != 303 {
		t.Error(got)
	}

	// Nobody was asked, and mail works again.
	waits := o.visitor()
	waits.stranded("carol@example.com")
	o.mailIsBack()
	if _, page := waits.send("GET", "/_gatehouse/code", nil); !strings.Contains(page, "works again") {
		t.Error(page)
	}
	if got := waits.types("123456"); got != 503 {
		t.Error(got)
	}
	if status, _ := waits.send("POST", "/_gatehouse/resend", nil); status != 303 {
		t.Errorf("asking for a mail once it works: %d", status)
	}
	if got := waits.types(o.code("carol@example.com")); got != 303 {
		t.Error(got)
	}
}

// Whoever gives wrong codes while mail works shuts no one out once it does not: there
// is no link then.
func TestAdmitAfterWrongCodes(t *testing.T) {
	o := newOperated(t)
	o.run("", "bob@example.com carol@example.com")
	for range 2 {
		stranger := o.visitor()
		stranger.starts("carol@example.com")
		code := o.code("carol@example.com")
		for range 5 {
			stranger.types(wrongCode(code))
		}
	}
	last := o.visitor()
	last.starts("carol@example.com")
	if _, page := last.send("GET", "/_gatehouse/code", nil); strings.Contains(page, `name="code"`) {
		t.Fatalf("codes still work:\n%s", page)
	}
	o.mailGoesDown()
	carol := o.visitor()
	ref, _ := carol.stranded("carol@example.com")
	var out operate.Admission
	o.document(&out, "admit", "carol@example.com", "--ref", ref, "--yes")
	if out.Code == "" || out.Refused != "" {
		t.Fatalf("%+v", out)
	}
	// The flow of a stranger is none the wiser.
	if got := last.types(out.Code); got == 303 {
		t.Error("another browser is in")
	}
	for want := range 4 {
		if got := carol.types(wrongCode(out.Code)); got != 422 {
			t.Errorf("wrong code %d: %d", want, got)
		}
	}
	if got := carol.types(out.Code); got != 303 {
		t.Errorf("the operator's code: %d", got)
	}
}

// Starts while mail is down are stored, and so count for the client's network.
func TestStrandedStartsAreLimited(t *testing.T) {
	o := newOperated(t)
	config := string(o.config("", "staff"))
	o.load([]byte(strings.Replace(config, `"limits":{`, `"limits":{"per_client":[{"count":3,"per":"10m"}],`, 1)))
	o.mailGoesDown()
	for i, want := range []int{503, 503, 429, 429} {
		status, page := o.visitor().starts("mallory@example.net")
		if status != want || (status == 503) != referenceOnPage.MatchString(page) {
			t.Errorf("start %d: %d, want %d", i, status, want)
		}
	}
}
