package gate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// newGate makes a gate: people of example.com sign in by mail, and mails go to a
// terminal. A server would keep its state in badgerstore,
// take its secret from a file, send through smtp, and close what is opened here.
func newGate(terminal io.Writer) (*gate.Gate, error) {
	who, err := policy.ParseWhoList([]string{"*@example.com"})
	if err != nil {
		return nil, err
	}
	admitted, err := policy.Compile(who, nil, nil)
	if err != nil {
		return nil, err
	}
	secret, err := keyring.NewSecret([]byte("a secret of 32 bytes at the least"))
	if err != nil {
		return nil, err
	}
	core, err := authcore.Open(context.Background(), memstore.New(), keyring.Secrets{Current: secret}, authcore.Options{})
	if err != nil {
		return nil, err
	}
	mails, err := screen.NewMails(screen.MailConfig{SubjectCode: true})
	if err != nil {
		return nil, err
	}
	place := &gate.Place{Hosts: []string{"127.0.0.1"}}
	service := core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(a address.Address) bool { return admitted.Admits(a) },
		Protects:   func(o origin.Origin) bool { return place.Has(o, 0) },
		Senders:    []outbox.Sender{maillog.New(terminal)}, Composer: mails,
	})
	shown, err := pages.New(pages.Config{Service: service})
	if err != nil {
		return nil, err
	}
	house := new(gate.House)
	house.Open(&gate.Running{Service: service, Core: core, Pages: shown})
	return &gate.Gate{House: house, Rule: session.SiteRule{Policy: admitted}, Place: place, Pages: place}, nil
}

// terminal takes the code out of each mail.
type terminal chan string

func (t terminal) Write(mail []byte) (int, error) {
	t <- regexp.MustCompile(`Code +(\d+)`).FindStringSubmatch(string(mail))[1]
	return len(mail), nil
}

// A whole sign-in at a gate on net/http, as a browser does it.
func Example() {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello %s", r.Header.Get("Remote-User"))
	})
	terminal := make(terminal, 1)
	g, err := newGate(terminal)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(gate.Wrap(g, app))
	defer server.Close()
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	show := func(method, path string, form url.Values) {
		r, _ := http.NewRequest(method, server.URL+path, strings.NewReader(form.Encode()))
		r.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		answer, err := browser.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		if !strings.HasPrefix(string(body), "Hello") {
			body = []byte("a page")
		}
		fmt.Printf("%s %s: %s at %s\n", method, path, body, answer.Request.URL.Path)
	}
	show("GET", "/notes", nil)
	show("POST", "/_gatehouse/login", url.Values{"email": {"alice@example.com"}, "return_to": {"/notes"}})
	show("POST", "/_gatehouse/code", url.Values{"code": {<-terminal}})

	// Output:
	// GET /notes: a page at /_gatehouse/login
	// POST /_gatehouse/login: a page at /_gatehouse/code
	// POST /_gatehouse/code: Hello alice@example.com at /notes
}
