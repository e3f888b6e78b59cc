package sender

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

const text = `{
	admin off
	persist_config off
	storage file_system %[1]s/caddy
	gatehouse {
		store badger %[1]s/store
		mail post %[2]s
		from "Example" <login@example.com>
	}
}
%[3]s {
	bind 127.0.0.1
	gatehouse *@example.com
	respond "let in"
}`

func adapt(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// A Caddyfile that names the sender sends through it, and refusals of the service
// are told from its outages.
func TestSendsThroughTheExample(t *testing.T) {
	mails := make(chan string, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := mail.ReadMessage(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		mails <- m.Header.Get("To")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer service.Close()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("http://localhost:%d", port.Addr().(*net.TCPAddr).Port)
	port.Close()
	config, err := adapt(t, fmt.Sprintf(text, t.TempDir(), service.URL, address))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), fmt.Sprintf(`"mail":[{"sender":"post","url":%q}]`, service.URL)) {
		t.Errorf("the JSON does not name the sender:\n%s", config)
	}
	if err := caddytest.Load(config); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	form := url.Values{"email": {"alice@example.com"}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/_gatehouse/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", address)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	select {
	case to := <-mails:
		if !strings.Contains(to, "alice@example.com") {
			t.Errorf("a mail to %s", to)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("no mail came; the page was %d %s", resp.StatusCode, page)
	}
}

// What is wrong on the line is said with its place, and a name that no build has
// with those that this one has.
func TestLineOfTheExample(t *testing.T) {
	for line, want := range map[string]string{
		"mail post":               `write for example "mail post https://mail.example.com/"`,
		"mail pigeon example.com": "there are dir, gmail, graph, log, mailgun, post and smtp",
	} {
		_, err := adapt(t, strings.Replace(fmt.Sprintf(text, "/tmp", "", "http://localhost"), "mail post \n", line+"\n", 1))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:7") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
