package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// operated is a real Caddy with an admin endpoint on a unix socket, and a log
// that tests read.
type operated struct {
	*gatedCaddy
	admin string // the endpoint's address
	sites string // more of them, with {port}, {tls}, {app} and {dir} replaced
}

func newOperated(t testing.TB) *operated {
	o := &operated{gatedCaddy: newGatedCaddy(t, nil)}
	o.admin = "unix/" + filepath.Join(o.dir, "admin.sock")
	return o
}

// run loads a configuration with a site app.example.com, whose gate has these
// lines, and global in the gatehouse block.
func (o *operated) run(global, who string, gate ...string) {
	o.Helper()
	o.load(o.config(global, who, gate...))
}

func (o *operated) config(global, who string, gate ...string) []byte {
	o.Helper()
	text := fmt.Sprintf(`{
	admin %[1]s
	persist_config off
	grace_period 5s
	auto_https off
	metrics
	storage file_system %[2]s/caddy
	log {
		%[3]s
	}
	gatehouse {
		store badger %[2]s/store
		mail smtp %[4]s {
			tls off
		}
		from "Example" <login@example.com>
		group staff alice@example.com bob@example.com
		limits {
			per_recipient 1000 1m
		}
		%[5]s
	}
}
https://app.example.com:%[6]s {
	bind 127.0.0.1
	tls %[2]s/cert.pem %[2]s/key.pem
	log
	gatehouse %[7]s {
		%[8]s
	}
	reverse_proxy %[9]s {
		flush_interval -1
	}
}
%[10]s`, o.admin, o.dir, o.logOutput(), o.mail.Addr, global, o.port(), who, strings.Join(gate, "\n\t\t"), strings.TrimPrefix(o.app.URL, "http://"),
		strings.NewReplacer("{port}", o.port(), "{tls}", o.dir+"/cert.pem "+o.dir+"/key.pem", "{app}", strings.TrimPrefix(o.app.URL, "http://"), "{dir}", o.dir).Replace(o.sites))
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	must(o, err)
	return config
}

func (o *operated) load(config []byte) {
	o.Helper()
	must(o, caddytest.Load(config))
}

func (o *operated) signIn(email string) *authcore.SignIn {
	o.Helper()
	return o.signInAt(email, "app.example.com")
}

func cookieOf(in *authcore.SignIn) string { return "__Host-gatehouse=" + in.Token }

// call makes a request to the admin endpoint.
func (o *operated) call(method, path, body string) (status int, answer string) {
	o.Helper()
	endpoint, err := adminEndpoint(o.admin, "", "")
	must(o, err)
	client := endpoint.Client()
	defer client.CloseIdleConnections()
	client.CheckRedirect = nil // Caddy leads from paths with dots to those without
	r, err := http.NewRequest(method, endpoint.URL()+path, strings.NewReader(body))
	must(o, err)
	resp, err := client.Do(r)
	must(o, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(o, err)
	return resp.StatusCode, string(text)
}

// want makes a request that must be answered with status, and decodes into out
// unless that is nil.
func (o *operated) want(status int, method, path, body string, out any) string {
	o.Helper()
	got, answer := o.call(method, path, body)
	if got != status {
		o.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			o.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
	return answer
}

// command runs one of the operators' commands, as the binary would.
func (o *operated) command(args ...string) (out, errors string, code int) {
	o.Helper()
	return runCommand(o, nil, append(args, "--address", o.admin)...)
}

func runCommand(t testing.TB, in io.Reader, args ...string) (out, errs string, code int) {
	t.Helper()
	root := &cobra.Command{Use: "gatehouse", SilenceUsage: true, SilenceErrors: true}
	for _, c := range Commands() {
		sub := new(cobra.Command)
		c.CobraFunc(sub)
		root.AddCommand(sub)
	}
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetIn(in)
	root.SetArgs(args)
	err := root.Execute()
	return stdout.String(), stderr.String(), codeOf(err)
}

// codeOf is the exit code that Caddy's main gives for err.
func codeOf(err error) int {
	if err == nil {
		return 0
	}
	if text, ok := strings.CutPrefix(err.Error(), "exiting with status "); ok {
		return int(text[0] - '0')
	}
	return 1
}

// lines are the log's lines so far, decoded.
func (o *operated) lines() []map[string]any {
	o.Helper()
	text, err := os.ReadFile(o.logFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(o, err)
	var all []map[string]any
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var entry map[string]any
		must(o, json.Unmarshal(line, &entry))
		all = append(all, entry)
	}
	return all
}

// audited returns the audit events so far with this name, "" for all.
func (o *operated) audited(name string) []map[string]any {
	o.Helper()
	var found []map[string]any
	for _, entry := range o.lines() {
		if entry["logger"] == "gatehouse.audit" && (name == "" || entry["event"] == name) {
			found = append(found, entry)
		}
	}
	return found
}

// eventually waits until what happens beside a request has happened.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
