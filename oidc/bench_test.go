package oidc_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/oidc"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// BenchmarkProvider compares the token endpoint with one RS256 signature, and the
// authorization endpoint with a live session with a plain page: the calls alone,
// on a store in memory, taking turns, so that a busy machine slows both.
func BenchmarkProvider(b *testing.B) {
	ctx := context.Background()
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", 32)))
	must(b, err)
	engine := memstore.New()
	core, err := authcore.Open(ctx, engine, keyring.Secrets{Current: secret}, authcore.Options{})
	must(b, err)
	b.Cleanup(core.Close)
	service := core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(address.Address) bool { return true }, Protects: func(origin.Origin) bool { return true },
	})
	b.Cleanup(service.Close)
	who, err := policy.ParseWhoList([]string{"any"})
	must(b, err)
	anybody, err := policy.Compile(who, nil, nil)
	must(b, err)
	client := &grant.Client{ID: "wiki", Name: "Wiki", Redirects: []string{"https://wiki.example.com/cb"}, Policy: anybody, Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))}}
	b.Cleanup(core.Grants().Use(&grant.Means{Clients: []*grant.Client{client}}))
	site, err := pages.New(pages.Config{Service: service})
	must(b, err)
	h := oidc.New(oidc.Config{Service: service, Pages: site})
	at, err := origin.Parse("https://auth.example.com")
	must(b, err)
	began, err := store.Update(ctx, engine, func(tx store.Tx) (*session.Beginning, error) {
		a, err := address.Parse("alice@example.com")
		if err != nil {
			return nil, err
		}
		p, err := person.ForAddress(tx, a, time.Now())
		if err != nil {
			return nil, err
		}
		return service.Sessions().Begin(tx, session.Proof{Person: p, Method: "code", At: time.Now(), Browser: session.Browser{Origin: at, Client: netip.MustParseAddr("192.0.2.1")}})
	})
	must(b, err)
	core.Sessions().Begun(ctx, began)
	visit := pages.Visit{Origin: at, Client: netip.MustParseAddr("192.0.2.1"), Session: began.Session, IsPortal: true}

	const verifier = "verifier-verifier-verifier-verifier-verifier"
	sum := sha256.Sum256([]byte(verifier))
	ask := "/oauth2/authorize?" + url.Values{
		"client_id": {"wiki"}, "redirect_uri": {"https://wiki.example.com/cb"}, "response_type": {"code"}, "scope": {"openid email offline_access"}, "state": {"0123456789"},
		"nonce": {"0123456789"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	authorize := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.Serve(w, httptest.NewRequest(http.MethodGet, ask, nil), visit)
		return w
	}
	post := func(form url.Values) (answer struct {
		Refresh string `json:"refresh_token"`
	}) {
		r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("wiki", "s")
		w := httptest.NewRecorder()
		h.Serve(w, r, pages.Visit{Origin: at, Client: visit.Client})
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		return answer
	}
	location, err := url.Parse(authorize().Header().Get("Location"))
	must(b, err)
	refresh := post(url.Values{"grant_type": {"authorization_code"}, "code": {location.Query().Get("code")}, "redirect_uri": {"https://wiki.example.com/cb"}, "code_verifier": {verifier}}).Refresh

	took := map[string][]float64{}
	measure := func(name string, do func()) {
		began := time.Now()
		do()
		took[name] = append(took[name], float64(time.Since(began)))
	}
	kind := keyring.Kind{Alg: "RS256", Typ: "JWT"}
	for b.Loop() {
		measure("signature", func() {
			_, err := core.Keys().Sign(ctx, kind, map[string]any{"sub": "x"})
			must(b, err)
		})
		measure("token", func() {
			refresh = post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).Refresh
		})
		measure("authorize", func() {
			if w := authorize(); w.Code != http.StatusSeeOther {
				b.Fatal(w.Code)
			}
		})
		measure("page", func() {
			w := httptest.NewRecorder()
			site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_gatehouse/login", nil), visit)
			if w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		})
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return took[name][len(took[name])/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median("token")/median("signature"), "token/x-signature")
	b.ReportMetric(median("authorize")/median("page"), "authorize/x-page")
	b.ReportMetric(median("signature")/1000, "µs/signature")
	b.ReportMetric(median("page")/1000, "µs/page")
}
