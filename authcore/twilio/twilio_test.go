package twilio_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/twilio"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "fedcba9876543210fedcba9876543210"
	service = "MG0123456789abcdef0123456789abcdef"
)

func phone(t *testing.T) address.Phone {
	t.Helper()
	p, err := address.ParsePhone("+15005550009")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sender(t *testing.T, base, from string) *twilio.Sender {
	t.Helper()
	s, err := twilio.New(twilio.Config{Account: account, AuthToken: token, From: from, BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checking is a server that refuses whatever Twilio's own would refuse.
func checking(t *testing.T, got *url.Values) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json":
			http.NotFound(w, r)
			return
		case user != account || password != token:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":20003,"message":"Authenticate","status":401}`)
			return
		case r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("To") == "" || form.Get("Body") == "" || form.Get("From") == "" && form.Get("MessagingServiceSid") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		*got = form
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid":"SM1","status":"queued"}`)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestSend(t *testing.T) {
	var got url.Values
	server := checking(t, &got)
	text := outbox.Text{To: phone(t), Body: "482913 is your Shop & Sons code = now +"}
	if err := sender(t, server.URL, "+15005550006").SendText(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if got.Get("To") != "+15005550009" || got.Get("From") != "+15005550006" || got.Get("Body") != text.Body || len(got) != 3 {
		t.Errorf("%v", got)
	}
	if err := sender(t, server.URL+"/", service).SendText(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if got.Get("MessagingServiceSid") != service || got.Has("From") {
		t.Errorf("%v", got)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outbox.SendFault
	}{
		{401, `{"code":20003,"message":"Authenticate"}`, outbox.SenderDown},
		{403, ``, outbox.SenderDown},
		{404, `{"code":20404,"message":"not found"}`, outbox.SenderDown},
		{429, `{"code":20429}`, outbox.SenderDown},
		{500, `oops`, outbox.SenderDown},
		{302, ``, outbox.SenderDown},
		{400, `{"code":21606,"message":"From +15005550006 is not yours"}`, outbox.SenderDown},
		{400, `{"code":21211,"message":"The 'To' number +15005550009 is not valid"}`, outbox.Rejected},
		{400, `{"code":21610,"message":"+15005550009 has replied STOP"}`, outbox.Rejected},
		{400, ``, outbox.Rejected},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.test/")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		err := sender(t, server.URL, "Shop").SendText(t.Context(), outbox.Text{To: phone(t), Body: "x"})
		server.Close()
		var failed *outbox.SendError
		if !errors.As(err, &failed) || failed.Fault != c.want {
			t.Errorf("%d %s: %v", c.status, c.body, err)
			continue
		}
		if strings.Contains(err.Error(), "+1500") || strings.Contains(err.Error(), token) {
			t.Errorf("the error shows the number or the token: %v", err)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	base := server.URL
	server.Close()
	var failed *outbox.SendError
	err := sender(t, base, "Shop").SendText(t.Context(), outbox.Text{To: phone(t), Body: "x"})
	if !errors.As(err, &failed) || failed.Fault != outbox.SenderDown {
		t.Errorf("%v", err)
	}
	stuck := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(stuck)
	s, err := twilio.New(twilio.Config{Account: account, AuthToken: token, From: "Shop", BaseURL: slow.URL, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendText(t.Context(), outbox.Text{To: phone(t), Body: "x"}); !errors.As(err, &failed) || !strings.Contains(failed.Reason, "in time") {
		t.Errorf("%v", err)
	}
}

func TestConfig(t *testing.T) {
	good := twilio.Config{Account: account, AuthToken: token, From: "+15005550006"}
	for what, change := range map[string]func(*twilio.Config){
		"no account":    func(c *twilio.Config) { c.Account = "" },
		"odd account":   func(c *twilio.Config) { c.Account = "AC1/../x" },
		"no token":      func(c *twilio.Config) { c.AuthToken = "" },
		"a line break":  func(c *twilio.Config) { c.AuthToken = token + "\n" },
		"no from":       func(c *twilio.Config) { c.From = "" },
		"a long name":   func(c *twilio.Config) { c.From = "A very long name" },
		"a bad number":  func(c *twilio.Config) { c.From = "+0" },
		"plain http":    func(c *twilio.Config) { c.BaseURL = "http://api.example.com" },
		"user info":     func(c *twilio.Config) { c.BaseURL = "https://a:b@api.example.com" },
		"another thing": func(c *twilio.Config) { c.BaseURL = "api.example.com" },
	} {
		c := good
		change(&c)
		if _, err := twilio.New(c); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v", good, good, good); strings.Contains(shown, token) {
		t.Errorf("the token shows: %s", shown)
	}
}
