package streambird_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

const exampleKey = "sk_live_0123456789abcdef0123456789abcdef"

// calls serves the dialect for one app of net/http, with its mails on a terminal.
func calls(terminal io.Writer) (http.Handler, error) {
	key, err := apps.ParseKey(exampleKey)
	if err != nil {
		return nil, err
	}
	apps, err := apps.NewList(&apps.App{ID: "shop", Keys: []apps.Key{key}, AutoCreate: true})
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
	here, err := origin.Parse("https://api.example.com")
	if err != nil {
		return nil, err
	}
	service := core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(address.Address) bool { return false }, // there is no gate
		Protects:   func(o origin.Origin) bool { return o == here },
		Senders:    []outbox.Sender{maillog.New(terminal)}, Composer: mails, Apps: apps,
	})
	shown, err := pages.New(pages.Config{Service: service})
	if err != nil {
		return nil, err
	}
	dialects := api.NewHandler(streambird.New(api.Config{Service: service, Pages: shown}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		visit := api.Visit{Origin: here, Named: here, Client: peer.Addr()}
		if !dialects.Serve(w, r, visit) {
			dialects.NotFound(w, r, visit)
		}
	}), nil
}

// terminal takes the code out of each mail.
type terminal chan string

func (t terminal) Write(mail []byte) (int, error) {
	t <- regexp.MustCompile(`Code +(\d+)`).FindStringSubmatch(string(mail))[1]
	return len(mail), nil
}

// A person proves an address to an app: the app asks for a code, and has what the
// person types checked.
func Example() {
	mail := make(terminal, 1)
	handler, err := calls(mail)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	call := func(path string, body map[string]string) (answer map[string]any) {
		text, _ := json.Marshal(body)
		r, _ := http.NewRequest("POST", server.URL+path, bytes.NewReader(text))
		r.Header = http.Header{"Authorization": {"Bearer " + exampleKey}, "Content-Type": {"application/json"}}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return nil
		}
		defer got.Body.Close()
		_ = json.NewDecoder(got.Body).Decode(&answer)
		fmt.Println(path, got.Status)
		return answer
	}
	asked := call("/v1/auth/otps/email/login_or_create", map[string]string{"email": "alice@example.com"})
	proved := call("/v1/auth/otps/verify", map[string]string{"method_id": fmt.Sprint(asked["email_id"]), "otp": <-mail})
	fmt.Println("a user:", strings.HasPrefix(fmt.Sprint(proved["user_id"]), "user_"))

	// Output:
	// /v1/auth/otps/email/login_or_create 200 OK
	// /v1/auth/otps/verify 200 OK
	// a user: true
}
