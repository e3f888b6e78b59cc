package outgoing_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
)

// Go reads the environment once, so that the request is made by a process of its
// own.
func TestClientGoesByTheProxy(t *testing.T) {
	if os.Getenv("OUTGOING_TEST") != "" {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.mail.example/v3", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := outgoing.Client(time.Minute).Do(r)
		if err == nil {
			resp.Body.Close()
			t.Fatal("the proxy refuses, and yet there was an answer")
		}
		proxy, _ := url.Parse(os.Getenv("HTTPS_PROXY"))
		if said := outgoing.NoAnswer("mail", err).Error(); !strings.Contains(said, "the proxy "+proxy.Host+" (HTTPS_PROXY) answered HTTP 403") || strings.Contains(said, "s3cret") {
			t.Error(said)
		}
		return
	}
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	test := exec.Command(os.Args[0], "-test.run=^TestClientGoesByTheProxy$")
	test.Env = append(os.Environ(), "OUTGOING_TEST=1", "HTTPS_PROXY="+strings.Replace(proxy.URL, "//", "//name:s3cret@", 1), "NO_PROXY=")
	if out, err := test.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case got := <-asked:
		if !strings.HasPrefix(got, "CONNECT api.mail.example:443") {
			t.Error(got)
		}
	default:
		t.Error("the proxy was not asked")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "120": 2 * time.Minute, "999999": time.Hour,
		"Sun, 29 Nov 2026 12:00:30 GMT": 30 * time.Second, "Sun, 29 Nov 2026 11:00:00 GMT": 0, "Mon, 30 Nov 2026 12:00:00 GMT": time.Hour,
	} {
		resp := &http.Response{Header: http.Header{"Retry-After": {text}}}
		if got := outgoing.RetryAfter(resp, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
