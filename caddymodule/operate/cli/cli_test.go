package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// run is one run of a command against what answers at a server.
func run(t *testing.T, answer http.HandlerFunc, args ...string) (out, errs string, code int) {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	root := &cobra.Command{Use: "gatehouse", SilenceUsage: true, SilenceErrors: true}
	for _, c := range Commands(Host{
		Endpoint: func(string, string, string) (Endpoint, error) {
			address := strings.TrimPrefix(server.URL, "http://")
			return Endpoint{Name: address, Network: "tcp", Address: address}, nil
		},
		Brand: func(string, string) (screen.Brand, error) { return screen.Brand{}, nil },
		Exit:  func(_ *cobra.Command, code int) error { return errors.New(strconv.Itoa(code)) },
	}) {
		sub := new(cobra.Command)
		c.Build(sub)
		root.AddCommand(sub)
	}
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		if code, err = strconv.Atoi(err.Error()); err != nil {
			code = ExitFailed
		}
	}
	return stdout.String(), stderr.String(), code
}

func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// What stands at the address may be a site, which asks for a sign-in, leads
// somewhere or shows a page.
func TestCommandsAtASite(t *testing.T) {
	for what, answer := range map[string]http.HandlerFunc{
		"gate":     answers(http.StatusUnauthorized, "application/json", `{"error":"login_required"}`),
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"page":     answers(http.StatusOK, "text/html", "<!doctype html>"),
	} {
		_, errs, code := run(t, answer, "status")
		if code != ExitFailed || !strings.Contains(errs, "is not the admin endpoint") || !strings.Contains(errs, "with --address") {
			t.Errorf("%s: %d: %s", what, code, errs)
		}
	}
}

// Scripts rest on the exit codes, with --json and without.
func TestExitCodes(t *testing.T) {
	const down = `{"mail":{"waiting":1,"down":true,"senders":[]}}`
	for _, test := range []struct {
		args   string
		status int
		body   string
		code   int
		says   string
	}{
		{"status", 200, `{"mail":{"senders":[]}}`, ExitDone, "goes out, 0 wait"},
		{"status", 200, down, ExitNo, "IS DOWN: sign-ins are refused, 1 waits"},
		{"status", 200, `{"mail":{"waiting":2,"delayed":true,"senders":[]}}`, ExitDone, "IS DELAYED"},
		{"status", 503, `{"error":"not now"}`, ExitFailed, "not now"},
		{"status", 404, `404 page not found`, ExitFailed, "without Gatehouse"},
		{"test-email a@b.c", 200, `{"sent":true,"results":[{"sender":"one","sent":true,"outcome":"sent"},{"sender":"two","outcome":"rejected"}]}`, ExitDone, "two"},
		{"test-email a@b.c", 200, `{"sent":true,"results":[{"sender":"one","outcome":"rejected","detail":"550 no"},{"sender":"two","sent":true,"outcome":"sent"}]}`, ExitNo, "550 no"},
		{"test-email a@b.c", 502, `{"sent":false,"results":[{"sender":"one","outcome":"sender_down"}]}`, ExitNo, "sender_down"},
		{"test-email a@b.c", 200, `{"sent":false,"results":null}`, ExitNo, ""},
		{"why a@b.c", 200, `{"allowed":true,"rule":"any","gates":[{"at":"shop"}]}`, ExitDone, ""},
		{"why a@b.c", 200, `{"allowed":false,"rule":"not_allowed","gates":[]}`, ExitNo, ""},
		{"doctor", 200, `{"findings":[{"check":"clock","level":"warning","found":"late"}]}`, ExitDone, "late"},
		{"doctor", 200, `{"findings":[{"check":"store","level":"error","found":"full"}]}`, ExitNo, "full"},
		{"users x --delete", 409, `{"error":"2 people"}`, ExitNo, "2 people"},
		{"why nonsense", 400, `{"error":"email: write an address"}`, ExitUsage, "write an address"},
		{"unlock nonsense", 400, `{"error":"email: write an address"}`, ExitUsage, "write an address"},
		{"test-email", 200, "", ExitUsage, "test-email <address>"},
	} {
		for _, json := range []string{"", " --json"} {
			out, errs, code := run(t, answers(test.status, "application/json", test.body), strings.Fields(test.args+json)...)
			if code != test.code || json == "" && !strings.Contains(out+errs, test.says) {
				t.Errorf("%s%s, answered %d %s: exit code %d, want %d\n%s%s", test.args, json, test.status, test.body, code, test.code, out, errs)
			}
		}
	}
}
