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

// bare is a provider on a store in memory, without a server in front of it.
type bare struct {
	testing.TB
	engine  store.Store
	core    *authcore.Core
	service *authcore.Service
	client  *grant.Client
	site    *pages.Pages
	h       *oidc.Handler
	visit   pages.Visit
}

func newBare(t testing.TB, now func() time.Time, change ...func(*grant.Client)) *bare {
	t.Helper()
	return newBareOn(t, memstore.New(memstore.WithNow(now)), now, change...)
}

func newBareOn(t testing.TB, engine store.Store, now func() time.Time, change ...func(*grant.Client)) *bare {
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", 32)))
	must(t, err)
	x := &bare{TB: t, engine: engine}
	x.core, err = authcore.Open(context.Background(), x.engine, keyring.Secrets{Current: secret}, authcore.Options{Now: now})
	must(t, err)
	t.Cleanup(x.core.Close)
	x.service = x.core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(address.Address) bool { return true }, Protects: func(origin.Origin) bool { return true },
	})
	t.Cleanup(x.service.Close)
	who, err := policy.ParseWhoList([]string{"any"})
	must(t, err)
	anybody, err := policy.Compile(who, nil, nil)
	must(t, err)
	x.client = &grant.Client{
		ID: "wiki", Name: "Wiki", Redirects: []string{"https://wiki.example.com/cb"}, AfterLogout: []string{"https://wiki.example.com/after"},
		Policy: anybody, Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))},
	}
	for _, do := range change {
		do(x.client)
	}
	t.Cleanup(x.core.Grants().Use(&grant.Means{Clients: []*grant.Client{x.client}}))
	x.site, err = pages.New(pages.Config{Service: x.service})
	must(t, err)
	x.h = oidc.New(oidc.Config{Service: x.service, Pages: x.site})
	x.visit.Origin, err = origin.Parse("https://auth.example.com")
	must(t, err)
	x.visit.Client, x.visit.IsPortal = netip.MustParseAddr("192.0.2.1"), true
	return x
}

// signIn begins a session, and returns the visit of its browser with the cookie.
func (x *bare) signIn(email string) (pages.Visit, string) {
	x.Helper()
	return x.signInBy(email, true)
}

// signInBy is signIn by a mail, or by a code that an operator told.
func (x *bare) signInBy(email string, mail bool) (pages.Visit, string) {
	x.Helper()
	a, err := address.Parse(email)
	must(x, err)
	began, err := store.Update(context.Background(), x.engine, func(tx store.Tx) (*session.Beginning, error) {
		p, err := person.ForAddress(tx, a, x.service.Now())
		if err != nil {
			return nil, err
		}
		browser := session.Browser{Origin: x.visit.Origin, Client: x.visit.Client}
		return x.service.Sessions().Begin(tx, session.Proof{Person: p, Method: "code", ByMail: mail, At: x.service.Now(), Browser: browser})
	})
	must(x, err)
	x.core.Sessions().Begun(context.Background(), began)
	v := x.visit
	v.Session = began.Session
	return v, began.Token
}

const bareVerifier = "verifier-verifier-verifier-verifier-verifier"

// authorize asks for a code, with more parameters in pairs.
func (x *bare) authorize(v pages.Visit, pairs ...string) *httptest.ResponseRecorder {
	sum := sha256.Sum256([]byte(bareVerifier))
	ask := url.Values{
		"client_id": {"wiki"}, "redirect_uri": {"https://wiki.example.com/cb"}, "response_type": {"code"}, "scope": {"openid email offline_access"}, "state": {"0123456789"},
		"nonce": {"0123456789"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		ask.Set(pairs[i], pairs[i+1])
	}
	w := httptest.NewRecorder()
	x.h.Serve(w, httptest.NewRequest(http.MethodGet, "/oauth2/authorize?"+ask.Encode(), nil), v)
	return w
}

type bareTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

// token asks for tokens.
func (x *bare) token(form url.Values) (answer bareTokens) {
	x.Helper()
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("wiki", "s")
	w := httptest.NewRecorder()
	x.h.Serve(w, r, x.visit)
	must(x, json.Unmarshal(w.Body.Bytes(), &answer))
	return answer
}

func (x *bare) refresh(token string) bareTokens {
	x.Helper()
	return x.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// tokens are what the client gets for a visitor.
func (x *bare) tokens(v pages.Visit) bareTokens {
	x.Helper()
	return x.redeem(x.authorize(v))
}

// redeem shows the code that the client got.
func (x *bare) redeem(w *httptest.ResponseRecorder) bareTokens {
	x.Helper()
	at, err := url.Parse(w.Header().Get("Location"))
	must(x, err)
	answer := x.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {"https://wiki.example.com/cb"}, "code_verifier": {bareVerifier},
	})
	if answer.Refresh == "" {
		x.Fatalf("no tokens: %+v", answer)
	}
	return answer
}

// BenchmarkProvider compares the token endpoint with one RS256 signature, and the
// authorization endpoint with a live session with a plain page: the calls alone,
// on a store in memory, taking turns, so that a busy machine slows both.
func BenchmarkProvider(b *testing.B) {
	ctx, x := context.Background(), newBare(b, time.Now)
	visit, _ := x.signIn("alice@example.com")
	refresh := x.tokens(visit).Refresh

	took := map[string][]float64{}
	measure := func(name string, do func()) {
		began := time.Now()
		do()
		took[name] = append(took[name], float64(time.Since(began)))
	}
	kind := keyring.Kind{Alg: "RS256", Typ: "JWT"}
	for b.Loop() {
		measure("signature", func() {
			_, err := x.core.Keys().Sign(ctx, kind, map[string]any{"sub": "x"})
			must(b, err)
		})
		measure("token", func() {
			if refresh = x.refresh(refresh).Refresh; refresh == "" {
				b.Fatal("no refresh token")
			}
		})
		measure("authorize", func() {
			if w := x.authorize(visit); w.Code != http.StatusSeeOther {
				b.Fatal(w.Code)
			}
		})
		measure("page", func() {
			w := httptest.NewRecorder()
			x.site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_gatehouse/login", nil), visit)
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
