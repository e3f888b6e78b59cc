package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// done runs a command that must succeed.
func (o *operated) done(args ...string) string {
	o.Helper()
	out, errs, code := o.command(args...)
	if code != cli.ExitDone {
		o.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

// fails runs a command that must end with code and say all of these texts.
func (o *operated) fails(code int, says []string, args ...string) {
	o.Helper()
	out, errs, got := o.command(args...)
	if got != code {
		o.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, out, errs)
	}
	for _, text := range says {
		if !strings.Contains(out+errs, text) {
			o.Fatalf("%v does not say %q:\n%s%s", args, text, out, errs)
		}
	}
}

// document runs a command with --json, which must print exactly one document.
func (o *operated) document(into any, args ...string) {
	o.Helper()
	d := json.NewDecoder(strings.NewReader(o.done(append(args, "--json")...)))
	must(o, d.Decode(into))
	if d.More() {
		o.Fatalf("%v prints more than one document", args)
	}
}

func wantText(t testing.TB, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Fatalf("the output does not say %q:\n%s", text, out)
		}
	}
}

func TestCommands(t *testing.T) {
	o := newOperated(t)
	o.sites = `https://shop.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse /admin/* staff
	gatehouse /api/* staff
	respond shop
}
`
	shop := o.origin("shop.example.com")
	o.run("app shop {\n\t\t\tapi_key "+apiLiveKey+"\n\t\t}", "staff", "deny bob@example.com")
	alice := o.signIn("alice@example.com")
	site := o.origin("app.example.com")

	// A mail may be read before its sender hears that it was taken.
	eventually(t, "no mail waits", func() bool { return strings.Contains(o.done("status"), "goes out, 0 wait\n") })
	wantText(t, o.done("status"), "about 1, of 1 person\n", "to example.com: 1 accepted", "app.example.com", o.dir)
	wantText(t, o.done("sessions"), alice.Session.ID, "alice@example.com", "code")
	wantText(t, o.done("sessions", "alice@example.com"), alice.Session.ID)
	wantText(t, o.done("users"), alice.Session.Subject, "alice@example.com", "staff")
	wantText(t, o.done("users", "alice@example.com"), alice.Session.Subject, alice.Session.ID)
	wantText(t, o.done("why", "alice@example.com", site+"/x"), "allowed, by staff", "used at "+site)
	// She may have signed in before the queue wrote down who took the mail.
	eventually(t, "the sender is known", func() bool { return strings.Contains(o.done("why", "alice@example.com"), "accepted by smtp") })
	o.fails(cli.ExitNo, []string{"not allowed: deny bob@example.com", "no code was asked for"}, "why", "bob@example.com", site)
	o.fails(cli.ExitNo, []string{"no entry names this address"}, "why", "mallory@example.net")
	for path, want := range map[string][]string{
		"":         {"no gate looks at " + shop + "/;", shop[len("https://"):] + " /admin/*; ", shop[len("https://"):] + " /api/*: "},
		"/other/x": {"no gate looks at " + shop + "/other/x;"},
	} {
		o.fails(cli.ExitNo, want, "why", "alice@example.com", shop+path)
	}
	o.fails(cli.ExitNo, []string{"no gate stands at this site; gatehouse status"}, "why", "alice@example.com", "https://elsewhere.example")
	o.fails(cli.ExitUsage, []string{"write an address"}, "why", "nonsense")
	o.fails(cli.ExitNo, []string{"nobody with this address"}, "sessions", "bob@example.com")
	o.fails(cli.ExitNo, []string{"neither a live session nor a person"}, "revoke", "nobody")
	o.fails(cli.ExitUsage, []string{"say whose"}, "revoke")
	o.fails(cli.ExitUsage, []string{"say whose"}, "revoke", "--all", "x")
	o.fails(cli.ExitUsage, []string{"--delete needs"}, "users", "--delete")
	o.fails(cli.ExitUsage, []string{"sessions [<address"}, "sessions", "a", "b")
	o.fails(cli.ExitUsage, []string{"unknown flag"}, "sessions", "--bogus")
	o.fails(cli.ExitUsage, []string{"from 1 to 1000"}, "sessions", "--limit", "0")
	o.fails(cli.ExitUsage, []string{"from 1 to 1000"}, "users", "--limit", "1001")

	var status operate.Status
	o.document(&status, "status")
	var sessions operate.SessionPage
	o.document(&sessions, "sessions", "--all", "--limit", "1")
	var users operate.UserPage
	o.document(&users, "users")
	var user operate.User
	o.document(&user, "users", alice.Session.Subject)
	var why operate.Why
	o.document(&why, "why", "alice@example.com", site)
	if status.Sessions != 1 || len(sessions.Sessions) != 1 || len(users.Users) != 1 || user.Email != "alice@example.com" || !why.Allowed {
		t.Errorf("%+v\n%+v\n%+v\n%+v\n%+v", status, sessions, users, user, why)
	}

	wantText(t, o.done("revoke", alice.Session.ID), "the session has ended")
	again := o.signIn("alice@example.com")
	wantText(t, o.done("revoke", "alice@example.com"), "all sessions of this person")
	if list := o.done("sessions"); strings.Contains(list, again.Session.ID) {
		t.Error(list)
	}
	o.signIn("alice@example.com")
	o.appSessions(alice.Session.Subject)
	wantText(t, o.done("rotate-keys"), "a new key signs")
	wantText(t, o.done("revoke", "--all"), "all sessions of everybody")
	wantText(t, o.done("test-email", "ops@example.net"), "sent after")
	o.mail.RefuseTo("gone@example.net", 550)
	o.fails(cli.ExitNo, []string{"rejected", "550"}, "test-email", "gone@example.net")
	o.deletesPeople(alice.Session.Subject)
}

func TestCommandsThatPage(t *testing.T) {
	o := newOperated(t)
	o.run("", "any")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		o.signIn(name + "@example.net")
	}
	out, errs, _ := o.command("users", "--limit", "2")
	wantText(t, errs, "there are more: users --after ")
	if n := strings.Count(out, "@example.net"); n != 2 {
		t.Errorf("%d users on a page of two", n)
	}
	_, next, _ := strings.Cut(errs, "--after ")
	next, _, _ = strings.Cut(next, ",")
	if n := strings.Count(o.done("users", "--limit", "1000", "--after", next), "@example.net"); n != 3 {
		t.Errorf("%d users after two", n)
	}
	if n := strings.Count(o.done("sessions", "--limit", "2", "--all"), "@example.net"); n != 5 {
		t.Errorf("%d sessions on all pages", n)
	}
}

func TestExportAndImportCommands(t *testing.T) {
	o := newOperated(t)
	o.run("app shop {\n\t\t\tapi_key "+apiLiveKey+"\n\t\t}", "staff")
	in := o.signIn("alice@example.com")
	file := filepath.Join(o.dir, "backup.ndjson")
	var count move.Exported
	o.document(&count, "export", "--output", file, "--keys")
	if count != (move.Exported{People: 1, Sessions: 1, Keys: 1}) {
		t.Errorf("%+v", count)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, errs, _ := o.command("export", "--keys", "-o", file); !strings.Contains(errs, "WARNING") {
		t.Error("keys are exported without a warning")
	}
	wantText(t, o.done("export"), `"type":"end"`, in.Session.ID)
	if out := o.done("export", "-o", file+".apps"); strings.Contains(out, "of apps") {
		t.Error(out)
	}
	o.appSession("carol@example.com")
	wantText(t, o.done("export", "-o", file+".apps"), "1 person, 1 session and 0 keys", "of apps 1 person, 1 session, 0 organizations")
	wantText(t, o.done("import", file), "3 lines said nothing new")
	whole, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, whole[:len(whole)/2], 0o600))
	o.fails(cli.ExitUsage, []string{"line ", "nothing was changed"}, "import", file)
	o.fails(cli.ExitUsage, []string{"no such file"}, "import", file+".gone")
	out, errs, code := runCommand(o, strings.NewReader(string(whole)), "import", "-", "--address", o.admin)
	if code != cli.ExitDone {
		t.Errorf("%s%s", out, errs)
	}
	entries, err := os.ReadDir(o.dir)
	must(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), ".part-") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// A command that can't reach the server says how to reach it.
func TestCommandsWithoutAServer(t *testing.T) {
	dir := t.TempDir()
	gone := "unix/" + dir + "/gone.sock"
	needs := map[string]string{"revoke": "x", "import": "-", "why": "a@example.com", "test-email": "a@example.com", "unlock": "a@example.com", "admit": "a@example.com --ref ABCDEF"}
	for _, c := range Commands() {
		if c.Name == "pages" || c.Name == "convert" { // ask no server
			continue
		}
		args := append([]string{c.Name}, strings.Fields(needs[c.Name])...)
		_, errs, code := runCommand(t, strings.NewReader(""), append(args, "--address", gone)...)
		if code != cli.ExitFailed || !strings.Contains(errs, "no server answers") || !strings.Contains(errs, "admin unix//run/gatehouse/admin.sock") {
			t.Errorf("%s: exit code %d: %s", c.Name, code, errs)
		}
		help, _, code := runCommand(t, nil, c.Name, "--help")
		if code != cli.ExitDone || !strings.Contains(help, "Exit codes: 0 done") || !strings.Contains(help, "$ gatehouse "+c.Name) || !strings.Contains(help, "--json") {
			t.Errorf("help of %s:\n%s", c.Name, help)
		}
	}
	off := filepath.Join(dir, "Caddyfile")
	must(t, os.WriteFile(off, []byte("{\n\tadmin off\n}\n"), 0o600))
	_, errs, code := runCommand(t, nil, "status", "--config", off, "--adapter", "caddyfile")
	if code != cli.ExitFailed || !strings.Contains(errs, "turns the admin endpoint off") || !strings.Contains(errs, "admin unix//run") {
		t.Errorf("%d: %s", code, errs)
	}
	_, errs, code = runCommand(t, nil, "status", "--config", off+".gone", "--adapter", "caddyfile")
	if code != cli.ExitUsage {
		t.Errorf("%d: %s", code, errs)
	}
	for _, address := range []string{"::::", "http://localhost:2019", "localhost:1-9", "udp/localhost:2019"} {
		_, errs, code = runCommand(t, nil, "status", "--address", address)
		if code != cli.ExitUsage || !strings.Contains(errs, "--address localhost:2019") {
			t.Errorf("%s: %d: %s", address, code, errs)
		}
	}
}

// The address may also come from the configuration, and be a TCP port.
func TestCommandsOverTCP(t *testing.T) {
	o := newOperated(t)
	o.admin = "127.0.0.1:" + caddytest.FreePort(t)
	o.run("", "staff")
	file := filepath.Join(o.dir, "config.json")
	must(t, os.WriteFile(file, o.config("", "staff"), 0o600))
	for _, args := range [][]string{{"status", "--address", o.admin}, {"status", "--config", file}} {
		if out, errs, code := runCommand(t, nil, args...); code != cli.ExitDone {
			t.Errorf("%v: %s%s", args, out, errs)
		}
	}
	o.run("", "staff") // the endpoint itself takes browsers' requests only from its own origin
	_, answer := o.call("GET", "/gatehouse/status", "")
	wantText(t, answer, `"sessions"`)
}

func TestDoctorCommand(t *testing.T) {
	withoutDNS(t)
	o := newOperated(t)
	o.run("", "staff")
	out, errs, code := o.command("doctor")
	if code != cli.ExitDone {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	wantText(t, out, "store: ", "clock: ", "sender: smtp "+o.mail.Addr+": connection, TLS and sign-in work", "cookie_domain: ", "trusted_proxies: ", "configuration: 1 gate, nothing to say", "dns_")
	if n := len(o.mail.Messages()); n != 0 {
		t.Errorf("the doctor sent %d mails", n)
	}
	o.mail.Stop()
	o.fails(cli.ExitNo, []string{"error    sender: smtp", "connect", "compare address"}, "doctor")
	out, _, _ = o.command("doctor", "--json")
	wantText(t, out, `"findings"`, `"do"`)
}

// The doctor offers each mail server a mail, so that one which signs us in and
// then refuses us is found before anybody waits for a code. Nothing is sent.
func TestDoctorOffersMail(t *testing.T) {
	withoutDNS(t)
	o := newOperated(t)
	o.run("", "staff")
	doctor := func(code int, says ...string) {
		t.Helper()
		out, errs, got := o.command("doctor")
		if got != code {
			t.Errorf("exit code %d, want %d\n%s%s", got, code, out, errs)
		}
		wantText(t, out, says...)
	}
	name := "sender: smtp " + o.mail.Addr
	doctor(cli.ExitDone, "ok       "+name+": connection, TLS and sign-in work, and mail from login@example.com is taken")
	for _, refusal := range []struct {
		step  smtptest.Step
		code  int
		text  string
		level string
		exit  int
	}{
		{smtptest.MailFrom, 550, "5.7.60 not permitted to send as this sender", "error    " + name + " refuses mail: MAIL FROM: ", cli.ExitNo},
		{smtptest.RcptTo, 554, "5.7.1 Relay access denied", "error    " + name + " refuses mail: RCPT TO: ", cli.ExitNo},
		{smtptest.RcptTo, 550, "5.1.1 User unknown", "note     " + name + ": connection, TLS and sign-in work, but login@example.com can't get mail", cli.ExitDone},
		{smtptest.RcptTo, 450, "4.7.1 Greylisted", "warning  " + name + " puts mail off: RCPT TO: ", cli.ExitDone},
	} {
		o.mail.RefuseText(refusal.step, refusal.code, refusal.text)
		doctor(refusal.exit, refusal.level, refusal.text[len("5.7.1 "):])
		o.mail.Accept(refusal.step)
	}
	doctor(cli.ExitDone, "mail from login@example.com is taken")
	if n := len(o.mail.Messages()); n != 0 {
		t.Errorf("the doctor sent %d mails", n)
	}
	if s := o.done("status"); !strings.Contains(s, "not tried yet") {
		t.Errorf("a look counts as a mail:\n%s", s)
	}
}

// withoutDNS keeps the doctor off the network.
func withoutDNS(t *testing.T) {
	doctorDNS = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	t.Cleanup(func() { doctorDNS = net.DefaultResolver })
}
