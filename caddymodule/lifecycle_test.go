package caddymodule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/badgerstore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func TestReloadsKeepSessionsAndStore(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	sess := m.signIn("alice@example.com")
	core := runningApp(t).house.Running().Core
	for range 20 {
		m.load("", "")
		m.wantSignedIn(sess)
		m.wantOneUser()
	}
	if runningApp(t).house.Running().Core != core {
		t.Error("a reload opened the store anew")
	}
}

func TestRejectedReloadLeavesTheOldSiteAsItWas(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	sess := m.signIn("alice@example.com")
	app := runningApp(t)

	withoutMail := strings.Replace(string(m.config("", "")), `"mail":`, `"groups":{},"mail":[],"-":`, 1)
	stubborn := strings.Replace(string(m.config("", "")), `"apps":{`, `"apps":{"stubborn":{},`, 1)
	stubborn = strings.Replace(stubborn, m.mail.Addr, "127.0.0.1:1", 1) // its mail must not be sent there
	noHost := strings.ReplaceAll(string(m.config("", "")), `"host":["localhost"]`, `"path":["/*"]`)
	pipe := m.dir + "/pipe"
	must(t, syscall.Mkfifo(pipe, 0o600))
	must(t, os.WriteFile(m.dir+"/empty", nil, 0o600))
	tests := map[string]struct{ config, want string }{
		"unknown field":      {withoutMail, "unknown field"},
		"no host":            {noHost, "origin https://app.example.com"},
		"changed secret":     {string(m.config("secret "+strings.Repeat("n", 32), "")), "needs a restart"},
		"missing secret":     {string(m.config("secret {file."+m.dir+"/missing}", "")), m.dir + "/missing}: no such file or directory: write"},
		"empty secret":       {string(m.config("secret {file."+m.dir+"/empty}", "")), m.dir + "/empty} resolves to nothing"},
		"secret of an app":   {string(m.config("app shop {\nsecret {file."+pipe+"}\nredirect_uri https://shop.example.com/\nallow any\n}", "")), "app shop: secret: {file." + pipe + "}"},
		"secret in a pipe":   {string(m.config("secret {file."+pipe+"}", "")), "secret: {file." + pipe + "}: this is not a regular file: write"},
		"password in a pipe": {string(m.config("mail smtp localhost:1 {\nusername u\npassword {file."+pipe+"}\n}", "")), "password: {file." + pipe + "}: this is not a regular file"},
		"key of a device":    {string(m.config("app shop {\napi_key {file./dev/zero}\n}", "")), "api_key: {file./dev/zero}: this is not a regular file"},
		"store in a pipe":    {strings.Replace(string(m.config("", "")), `"badger":{"dir":"`, `"badger":{"dir":"{file.`+pipe+`}`, 1), "store badger"},
		"unset password":     {string(m.config("mail smtp localhost:1 {\nusername u\npassword {env.GATEHOUSE_TEST_UNSET}\n}", "")), "mail smtp localhost:1: password: {env.GATEHOUSE_TEST_UNSET} resolves to nothing"},
		"no such mail":       {strings.Replace(string(m.config("", "")), `"sender":"smtp"`, `"sender":"pigeon"`, 1), "gatehouse.mail.pigeon"},
		"no kind of mail":    {strings.Replace(string(m.config("", "")), `"sender":"smtp"`, `"sneder":"smtp"`, 1), "sender"},
		"missing list":       {string(m.config("group g file:"+m.dir+"/people.txt", "handle /x {\n gatehouse g\n}")), "file:" + m.dir + "/people.txt (group g): no such file or directory; make it"},
		"missing deny list":  {string(m.config("", "handle /x {\n gatehouse any {\ndeny file:"+m.dir+"/people.txt\n}\n}")), "/people.txt (the gate at"},
		"list is a pipe":     {string(m.config("group g file:"+pipe, "handle /x {\n gatehouse g\n}")), "(group g): this is not a regular file; have it be"},
		"name of an app":     {strings.Replace(string(m.config("app shop {\napi_key sk_live_0123456789012345678901234567890123456789\nname Shop\n}", "")), `"name":"Shop"`, `"name":"a\u2028b"`, 1), "app shop: name"},
		"another app's fail": {stubborn, "stubborn does not start"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for range 6 { // apps start in no particular order
				if got := m.refuses([]byte(test.config)); !strings.Contains(got, test.want) {
					t.Fatalf("refused with %q, want %q", got, test.want)
				}
				m.wantSignedIn(sess)
				m.wantOneUser()
			}
			if runningApp(t) != app {
				t.Error("another configuration is in use")
			}
			m.signIn(strings.ReplaceAll(name, " ", "-") + "@example.com") // mail still goes out
		})
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	sess := m.signIn("alice@example.com")
	must(t, caddy.Stop())
	m.load("", "")
	m.wantSignedIn(sess)

	info, err := os.Stat(filepath.Join(m.dir, "caddy", secretKey))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the secret has mode %v", info.Mode().Perm())
	}
}

func TestSecrets(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	sess := m.signIn("alice@example.com")
	must(t, caddy.Stop())
	secretFile := filepath.Join(m.dir, "caddy", secretKey)
	made, err := os.ReadFile(secretFile)
	must(t, err)
	fresh := strings.Repeat("n", 32)

	// Once secret is written, the one that was made counts as an old one.
	m.load("secret "+fresh, "")
	m.wantSignedIn(sess)
	must(t, caddy.Stop())

	// The new one has wrapped the keys anew: the old one alone is wrong now.
	if got := m.refuses(m.config("", "")); !strings.Contains(got, "written with another secret") || strings.Contains(got, fresh) {
		t.Errorf("the old secret alone: %s", got)
	}
	must(t, os.Remove(secretFile))
	for _, option := range []string{"", "secret " + strings.Repeat("x", 32)} {
		got := m.refuses(m.config(option, ""))
		if strings.Contains(got, "xxxx") || strings.Contains(got, string(made)) {
			t.Errorf("a secret is shown: %s", got)
		}
		want := []string{filepath.Join(m.dir, "store")}
		if option == "" {
			want = append(want, secretKey, filepath.Join(m.dir, "caddy"), "option secret")
		}
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%q does not name %s", got, part)
			}
		}
	}
	if _, err := os.Stat(secretFile); err == nil {
		t.Error("a secret was made for a store that has one")
	}
	t.Setenv("GATEHOUSE_TEST_SECRET", fresh)
	m.load("secret {env.GATEHOUSE_TEST_SECRET}", "")
	m.wantSignedIn(sess)
}

func TestADirectoryHasOneProcess(t *testing.T) {
	m := newMachine(t)
	config := m.config("", "")
	other, err := badgerstore.Open(filepath.Join(m.dir, "store"), badgerstore.Options{})
	must(t, err)
	got := m.refuses(config)
	must(t, other.Close())
	if !strings.Contains(got, filepath.Join(m.dir, "store")) || !strings.Contains(got, "process") {
		t.Errorf("refused with %q", got)
	}
	m.load("", "")
	m.signIn("alice@example.com")
}

func TestValidateTouchesNothing(t *testing.T) {
	m := newMachine(t)
	offline := m.config("secret {file./nowhere/secret}\ngroup g file:/nowhere/people.txt", "handle /x {\n gatehouse g\n}")
	validate := func(raw []byte) {
		t.Helper()
		var config *caddy.Config
		must(t, caddy.StrictUnmarshalJSON(raw, &config))
		must(t, caddy.Validate(config))
	}
	validate(offline)
	if _, err := os.Stat(filepath.Join(m.dir, "store")); err == nil {
		t.Error("validate made the store")
	}
	m.load("", "")
	sess := m.signIn("alice@example.com")
	validate(offline)
	validate(m.config("", ""))
	m.wantSignedIn(sess)
	m.wantOneUser()
}

func TestCallsAfterTheEndFailAndDoNotPanic(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	old := runningApp(t)
	must(t, caddy.Stop())
	run, err := old.house.Await(t.Context())
	must(t, err)
	address, err := address.Parse("alice@example.com")
	must(t, err)
	browser := session.Browser{Origin: mustOrigin(t, m.url)}
	if _, err := run.Service.Flows().Begin(t.Context(), browser, authcore.Start{Address: address}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a start after the end: %v", err)
	}
	must(t, old.Cleanup()) // once more must not release twice
}

func TestNothingIsLeftRunning(t *testing.T) {
	m := newMachine(t)
	m.load("", "") // makes the secret; the storage's lock takes 5 s to go
	must(t, caddy.Stop())
	before := goleak.IgnoreCurrent()
	m.load("", "")
	m.signIn("alice@example.com")
	m.load("", "")
	m.refuses([]byte(strings.Replace(string(m.config("", "")), `"apps":{`, `"apps":{"stubborn":{},`, 1)))
	must(t, caddy.Stop())
	goleak.VerifyNone(t, before)
}
