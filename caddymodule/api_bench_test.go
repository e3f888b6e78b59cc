package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// benchKeys is how many keys the app has: each is good for 1000 calls a minute.
const benchKeys = 200

// apiBench is a server with a gate and, for the same core, the APIs.
type apiBench struct {
	*measured
	api  string // base URL of the APIs
	next atomic.Int64
	took sync.Map // wall time of all sign-ins so far, by name
}

func benchKey(kind string, n int64) string { return fmt.Sprintf("%s_live_%032d", kind, n%benchKeys) }

func startAPI(b *testing.B) *apiBench {
	m := &measured{t: b, dir: b.TempDir(), client: loopbackClient()}
	site, apis := caddytest.FreePort(b), caddytest.FreePort(b)
	m.on = fmt.Sprintf("http://localhost:%s", site)
	a := &apiBench{measured: m, api: fmt.Sprintf("http://localhost:%s", apis)}
	var keys, pubs strings.Builder
	for n := range int64(benchKeys) {
		keys.WriteString(" " + benchKey("sk", n))
		pubs.WriteString(" " + benchKey("pk", n))
	}
	config := fmt.Sprintf(`{
	admin off
	log {
		level ERROR
	}
	gatehouse {
		mail log
		store badger %s
		secret %s
		limits {
			per_client 100000000 10m
			global 100000000 1m
		}
		app shop {
			api_key%s
			publishable_key%s
			callback http://localhost:3000/callback
			redirect registration http://localhost:3000/authenticate
			redirect login http://localhost:3000/authenticate
			auto_create on
		}
	}
}
%s {
	gatehouse any
	reverse_proxy %s
}
%s {
	gatehouse_api
}
`, filepath.Join(m.dir, "store"), strings.Repeat("s", 32), keys.String(), pubs.String(), m.on, m.upstream(http.NotFound), a.api)
	path := filepath.Join(m.dir, "Caddyfile")
	must(b, os.WriteFile(path, []byte(config), 0o600))
	m.start(path)
	return a
}

// call makes one call of an API and returns a field of the answer.
func (a *apiBench) call(path, body, field string) string {
	r, _ := http.NewRequest(http.MethodPost, a.api+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+benchKey("sk", a.next.Add(1)))
	resp, err := a.client.Do(r)
	if err != nil {
		a.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var out map[string]any
	if json.Unmarshal(text, &out) != nil || resp.StatusCode/100 != 2 || out[field] == nil || out[field] == false {
		a.t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		return ""
	}
	value, _ := out[field].(string)
	return value
}

func tokenOf(link string) string {
	_, token, _ := strings.Cut(link, "token=")
	token, _, _ = strings.Cut(token, "&")
	return token
}

// signIns are the ways to sign somebody in, each as few calls as it takes: begin
// and verify, with a session at the end but for Link, which has none.
func (a *apiBench) signIns() map[string]func(email string) {
	return map[string]func(string){
		"pages": a.throughPages,
		"stackbe": func(email string) {
			a.call("/v1/apps/shop/auth/magic-link", `{"email":"`+email+`"}`, "success")
			a.call("/v1/apps/shop/auth/verify", `{"token":"`+tokenOf(a.code(email))+`"}`, "sessionToken")
		},
		"reflex": func(email string) {
			// Each from a client of its own: it makes five for one client.
			client := fmt.Sprintf("2001:db8:0:%x::1", a.next.Add(1)&0xffff)
			a.call("/reflex/otp", `{"email":"`+email+`","deliver":"email","client_ip":"`+client+`"}`, "otp")
			a.call("/reflex/validate", `{"email":"`+email+`","otp":"`+a.code(email)+`"}`, "session_token")
		},
		"streambird": func(email string) {
			id := a.call("/v1/auth/otps/email/login_or_create", `{"email":"`+email+`","expires_in":10}`, "email_id")
			a.call("/v1/auth/otps/verify", `{"method_id":"`+id+`","otp":"`+a.code(email)+`"}`, "user_id")
		},
		"streambird-session": func(email string) {
			id := a.call("/v1/auth/otps/email/login_or_create", `{"email":"`+email+`","expires_in":10}`, "email_id")
			a.call("/v1/auth/otps/verify", `{"method_id":"`+id+`","otp":"`+a.code(email)+`","session_expires_in":60}`, "session_jwt")
		},
		"link": func(email string) {
			a.call("/v1/customers", `{"email":"`+email+`"}`, "id")
			secret := a.call("/lookup", `{"email":"`+email+`","STRIPE_PUBLIC_KEY":"`+benchKey("pk", a.next.Add(1))+`"}`, "client_secret")
			a.call("/api/start_verification", `{"client_secret":"`+secret+`","email":"`+email+`"}`, "result")
			a.call("/api/authenticate", `{"client_secret":"`+secret+`","email":"`+email+`","code":"`+a.code(email)+`"}`, "authenticationSuccessful")
		},
	}
}

// throughPages is begin and verify at the gate: its two posts, without the pages
// that a browser shows in between.
func (a *apiBench) throughPages(email string) {
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Transport: a.client.Transport, Jar: jar, CheckRedirect: a.client.CheckRedirect}
	a.must(client, "POST", "/_gatehouse/login", url.Values{"email": {email}, "return_to": {"/"}}, 303)
	a.must(client, "POST", "/_gatehouse/code", url.Values{"code": {a.code(email)}}, 303)
}

// cost signs n new people in, 32 at a time, and returns the server's CPU time
// for each.
func (a *apiBench) cost(name string, signIn func(email string)) func(n int) time.Duration {
	return func(n int) time.Duration {
		before, began := a.number("cpu"), time.Now()
		var left atomic.Int64
		left.Store(int64(n))
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for left.Add(-1) >= 0 && !a.t.Failed() {
					signIn(fmt.Sprintf("p%d@example.com", a.next.Add(1)))
				}
			})
		}
		all.Wait()
		so, _ := a.took.LoadOrStore(name, new(time.Duration))
		*so.(*time.Duration) += time.Since(began)
		return time.Duration(a.number("cpu")-before) / time.Duration(n)
	}
}

// BenchmarkSignInThroughAPIs compares sign-ins through each API with those
// through the pages, in the same process and of the same core: CPU time of the
// server in rounds, and how many a second.
func BenchmarkSignInThroughAPIs(b *testing.B) {
	const rounds, n = 40, 50
	a := startAPI(b)
	defer a.stop()
	targets := map[string]func(int) time.Duration{}
	for name, signIn := range a.signIns() {
		signIn("warm-" + name + "@example.com")
		targets[name] = a.cost(name, signIn)
	}
	targets["pages-again"] = a.cost("pages-again", a.throughPages) // its distance from 1 is the noise
	var ratios map[string][]float64
	for b.Loop() {
		ratios = contest(rounds, n, "pages", targets)
	}
	b.ReportMetric(0, "ns/op")
	for name, r := range ratios {
		took, _ := a.took.Load(name)
		b.ReportMetric(median(r), "x-pages/"+name)
		b.ReportMetric(float64(rounds*n)/took.(*time.Duration).Seconds(), "per-s/"+name)
	}
}
