package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

const (
	apiLiveKey = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
	apiLivePub = "pk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
)

// shopApp is the app of these tests, with its keys.
const shopApp = `app shop {
			api_key ` + apiLiveKey + `
			publishable_key ` + apiLivePub + `
		}
		sms log`

// apiSite is a site with an API beside a gate, and an access log.
func apiSite(c *gatedCaddy, dir string) string {
	return `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	log {
		output file ` + dir + `/access.log
	}
	gatehouse *@example.com
	gatehouse_api
	reverse_proxy {app}
}
https://api.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_api
}`
}

type apiAnswer struct {
	*http.Response
	json map[string]any
	text string
}

// call asks the API at app.example.com.
func (c *gatedCaddy) call(method, path, body string, headers ...string) apiAnswer {
	c.Helper()
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	resp := c.fetch(c.client(true), method, path, strings.NewReader(body), headers...)
	data, err := io.ReadAll(resp.Body)
	must(c, err)
	a := apiAnswer{Response: resp, text: string(data)}
	_ = json.Unmarshal(data, &a.json)
	return a
}

func TestAPIBesideAGate(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run(shopApp, "", apiSite(c, c.dir))
	addr, err := address.Parse("alice@example.com")
	must(t, err)
	service := runningApp(c).house.Running().Service
	app := service.Apps().Configured().Find("shop")
	number, err := address.ParsePhone("+390123456790")
	must(t, err)
	_, v, err := service.Apps().CreatePerson(t.Context(), app, person.Realm{App: "shop"}, person.Draft{Emails: []address.Address{addr}, Phones: []address.Phone{number}})
	must(t, err)
	if v != event.Accepted {
		t.Fatal(v)
	}
	a := c.call("GET", "/api/lookup-email?email=alice%40example.com&STRIPE_PUBLIC_KEY="+apiLivePub, "")
	secret, _ := a.json["client_secret"].(string)
	if a.StatusCode != 200 || secret == "" || a.json["redacted_phone_number"] != "+3*********90" {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if a := c.call("POST", "/api/start_verification", `{"client_secret":"`+secret+`","email":"alice@example.com"}`); a.json["emailSent"] != true {
		t.Errorf("%d %s", a.StatusCode, a.text) // nobody has proved the address
	}
	c.mail.NextTo(c, "alice@example.com")
	a = c.call("POST", "/reflex/otp", `{"email":"alice@example.com","deliver":"email"}`, "Authorization: Bearer "+apiLiveKey)
	link, _ := a.json["magic_link"].(string)
	if !strings.HasPrefix(link, c.origin("app.example.com")+"/magic-link-auth?email=alice%40example.com&otp=") {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	m := c.mail.NextTo(c, "alice@example.com").Parse(c)
	if !strings.Contains(m.Text, link) || m.Header.Get("From") == "" {
		t.Errorf("the mail: %s", m.Text)
	}
	page := c.call("GET", strings.TrimPrefix(link, c.origin("app.example.com")), "")
	if page.StatusCode != 200 || !strings.Contains(page.text, "<form") {
		t.Errorf("the page: %d %s", page.StatusCode, page.text)
	}
	t.Run("what it does not know passes on to the gate", func(t *testing.T) {
		for _, path := range []string{"/", "/api/else", "/v1/", "/_gatehouse/openapi/else.json"} {
			resp := c.call("GET", path, "")
			if resp.StatusCode == 200 {
				t.Errorf("%s: %s", path, resp.text)
			}
		}
	})
	t.Run("and without one ends in 404", func(t *testing.T) {
		r, err := http.NewRequest("GET", c.origin("api.example.com")+"/else", nil)
		must(t, err)
		resp, err := c.client(true).Do(r)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%d", resp.StatusCode)
		}
	})
	t.Run("documents", func(t *testing.T) {
		for _, dialect := range []string{"link", "reflex"} {
			a := c.call("GET", "/_gatehouse/openapi/"+dialect+".json", "")
			if a.StatusCode != 200 || a.json["openapi"] != "3.1.0" {
				t.Errorf("%s: %d %s", dialect, a.StatusCode, a.text)
			}
		}
	})
	t.Run("an unknown host", func(t *testing.T) {
		r, err := http.NewRequest("GET", c.origin("app.example.com")+"/lookup?email=a@example.com", nil)
		must(t, err)
		r.Host = "app.example.com:1"
		resp, err := c.client(true).Do(r)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("links could be made for a port that is not the site's: %d", resp.StatusCode)
		}
	})
	t.Run("access log", func(t *testing.T) {
		for _, header := range []string{"X-Api-Key: ", "Api-Key: Bearer "} { // where nobody looks for a key
			if a := c.call("GET", "/v1/auth/jwks/default", "", header+apiLiveKey); a.StatusCode != 401 {
				t.Errorf("%s%d", header, a.StatusCode)
			}
		}
		log, err := os.ReadFile(filepath.Join(c.dir, "access.log"))
		must(t, err)
		for _, text := range []string{secret, apiLivePub, apiLiveKey, link[strings.Index(link, "otp=")+4:][:8], "STRIPE_PUBLIC_KEY"} {
			if strings.Contains(string(log), text) {
				t.Errorf("it has %q", text)
			}
		}
		if !strings.Contains(string(log), "/reflex/otp") {
			t.Error("calls without a query are missing from it")
		}
	})
	t.Run("reload", func(t *testing.T) {
		c.run(shopApp, "", apiSite(c, c.dir))
		if a := c.call("POST", "/api/authenticate", `{"client_secret":"`+secret+`","email":"alice@example.com","code":"12345"}`); a.json["authenticationSuccessful"] != false || a.StatusCode != 200 {
			t.Errorf("after a reload the client_secret is not known: %d %s", a.StatusCode, a.text)
		}
	})
}
