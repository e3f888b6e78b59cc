package caddymodule

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bearer is the header with the secret key of shopApp.
const bearer = "Authorization: Bearer " + apiLiveKey

// TestDialectsInCaddy signs people in through StackBE and Streambird in a real
// Caddy, whose configuration changes meanwhile.
func TestDialectsInCaddy(t *testing.T) {
	c := newGatedCaddy(t, nil)
	app := func(more string) string {
		return strings.Replace(shopApp, "app shop {", "app shop {\n"+more, 1)
	}
	c.run(app(`			redirect login https://shop.example.com/authenticate
			redirect registration https://shop.example.com/welcome`), "", apiSite(c, c.dir))
	ask := func(to string) apiAnswer {
		return c.call("POST", "/v1/apps/shop/auth/magic-link", `{"email":"`+to+`","redirectUrl":"https://shop.example.com/cb"}`, bearer)
	}
	if a := ask("alice@example.com"); a.StatusCode != 400 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	t.Run("STACKBE-114 STACKBE-45", func(t *testing.T) {
		c.run(app(`			callback https://shop.example.com/*
			callback https://*.preview.example.com/*
			auto_create on
			organizations on
			link_lifetime 5m
			verification_url https://shop.example.com/auth/verify
			redirect login https://shop.example.com/authenticate
			redirect registration https://shop.example.com/welcome`), "", apiSite(c, c.dir))
		if a := ask("alice@example.com"); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		m := c.mail.NextTo(c, "alice@example.com").Parse(c)
		if !strings.Contains(m.Text, "https://shop.example.com/auth/verify?token=") || !strings.Contains(m.Text, "&appId=shop") || !strings.Contains(m.Text, "5 minutes") || strings.Contains(m.Text, "app.example.com") {
			t.Errorf("the mail: %s", m.Text)
		}
		_, token, _ := strings.Cut(m.Text, "token=")
		token, _, _ = strings.Cut(token, "&")
		a := c.call("GET", "/v1/apps/shop/auth/verify?token="+token+"&redirect=true", "", "User-Agent: Mozilla/5.0", "Accept: text/html")
		if to := a.Header.Get("Location"); a.StatusCode/100 != 3 || !strings.HasPrefix(to, "https://shop.example.com/cb?token=eyJ") {
			t.Errorf("%d %s %s", a.StatusCode, to, a.text)
		}
	})
	t.Run("STREAM-82", func(t *testing.T) {
		made := c.call("POST", "/v1/auth/users/create", `{"email":"bob@example.com"}`, bearer)
		link := c.call("POST", "/v1/auth/magic_links/create", `{"email":"bob@example.com"}`, bearer)
		v := c.call("POST", "/v1/auth/magic_links/verify", `{"token":"`+link.json["token"].(string)+`","session_expires_in":60}`, bearer)
		body, err := json.Marshal(map[string]any{"session_token": v.json["session_token"]})
		must(t, err)
		if a := c.call("DELETE", "/v1/auth/sessions/delete", string(body), bearer); a.StatusCode != 200 || a.json["message"] != "Successfully deleted session" {
			t.Errorf("%d %s (%s)", a.StatusCode, a.text, made.text)
		}
	})
	t.Run("STREAM-91 STREAM-94", func(t *testing.T) {
		if a := c.call("GET", "/v1/auth/jwks/default?api_key="+apiLiveKey, ""); a.StatusCode != 200 || !strings.Contains(a.text, "jwk_") {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		log, err := os.ReadFile(filepath.Join(c.dir, "access.log"))
		must(t, err)
		for _, secret := range []string{apiLiveKey, "api_key", "token="} {
			if strings.Contains(string(log), secret) {
				t.Errorf("the access log has %q", secret)
			}
		}
	})
	t.Run("documents", func(t *testing.T) {
		for _, dialect := range []string{"stackbe", "streambird"} {
			if a := c.call("GET", "/_gatehouse/openapi/"+dialect+".json", ""); a.StatusCode != 200 || a.json["openapi"] != "3.1.0" {
				t.Errorf("%s: %d %s", dialect, a.StatusCode, a.text)
			}
		}
	})
}

// TestScriptsOnTheDocumentedApp runs the scripts of examples/apis on the app block of
// docs/apis.md, as both are printed.
func TestScriptsOnTheDocumentedApp(t *testing.T) {
	text, err := os.ReadFile("../docs/apis.md")
	must(t, err)
	block := regexp.MustCompile(`(?s)            app shop \{\n.*?\n            \}\n`).Find(text)
	if block == nil {
		t.Fatal("docs/apis.md has no app block")
	}
	c := newGatedCaddy(t, nil)
	key := filepath.Join(c.dir, "shop")
	must(t, os.WriteFile(key, []byte(apiLiveKey+"\n"), 0o600))
	c.run(strings.Replace(string(block), "/run/secrets/shop", key, 1), "", `http://localhost:{port} {
	bind 127.0.0.1
	gatehouse_api
}`)
	pub := regexp.MustCompile(`publishable_key (\S+)`).FindSubmatch(block)[1]
	link, code := regexp.MustCompile(`https?://\S+`), regexp.MustCompile(`(?m)^\d{6}\r?$`)
	for script, pastes := range map[string][]*regexp.Regexp{"stackbe.sh": {link}, "streambird.sh": {link, code}, "link.sh": {code}, "reflex.sh": {link}} {
		t.Run(script, func(t *testing.T) {
			email := strings.TrimSuffix(script, ".sh") + "@example.com"
			cmd := exec.CommandContext(t.Context(), "sh", "../examples/apis/"+script)
			cmd.Env = append(os.Environ(), "BASE=http://localhost:"+c.port(), "APP=shop", "KEY="+apiLiveKey, "PUB="+string(pub), "EMAIL="+email)
			in, err := cmd.StdinPipe()
			must(t, err)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			must(t, cmd.Start())
			for _, paste := range pastes {
				mail := c.mail.NextTo(t, email).Parse(t).Text
				found := strings.TrimSpace(paste.FindString(mail))
				if found == "" {
					t.Fatalf("the mail has nothing to paste: %s", mail)
				}
				_, err := io.WriteString(in, found+"\n")
				must(t, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// TestKeysInClear: a key in the address of a call over plain http is not repeated.
func TestKeysInClear(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run(shopApp, "", `http://api.example.com:{port} {
	bind 127.0.0.1
	gatehouse_api
}`)
	for _, path := range []string{"/api/lookup-email?email=a%40example.com&STRIPE_PUBLIC_KEY=", "/lookup?STRIPE_PUBLIC_KEY=", "/v1/auth/sessions/list?api_key=", "/elsewhere?key="} {
		for _, key := range []string{apiLivePub, apiLiveKey} {
			r, err := http.NewRequest("GET", "http://"+c.addr+path+key, nil)
			must(t, err)
			r.Host = "api.example.com:" + c.port()
			resp, err := c.client(false).Transport.RoundTrip(r)
			must(t, err)
			var answer bytes.Buffer
			must(t, resp.Write(&answer))
			resp.Body.Close()
			if resp.StatusCode < 400 || strings.Contains(answer.String(), key) {
				t.Errorf("%s: %d %s", path, resp.StatusCode, answer.String())
			}
		}
	}
}
