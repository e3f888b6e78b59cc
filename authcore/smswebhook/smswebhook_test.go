package smswebhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smswebhook"
)

const key = "0123456789abcdef0123456789abcdef"

func text(t *testing.T) outbox.Text {
	t.Helper()
	p, err := address.ParsePhone("+15005550009")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Text{ID: "msg-1", To: p, Body: "482913 is your \"Shop\" code."}
}

// verify is what the receiver does, by the specification.
func verify(r *http.Request, body []byte) bool {
	stamp, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(stamp, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%d.%s", r.Header.Get("webhook-id"), stamp, body)
	return r.Header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestSend(t *testing.T) {
	var got map[string]string
	var id string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !verify(r, body) || r.Method != http.MethodPost || json.Unmarshal(body, &got) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		id = r.Header.Get("webhook-id")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	for _, secret := range []string{key, "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))} {
		s, err := smswebhook.New(smswebhook.Config{URL: server.URL + "/send?a=b", Secret: outbox.Credential(secret)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendText(t.Context(), text(t)); err != nil {
			t.Fatal(err)
		}
		if got["to"] != "+15005550009" || got["text"] != `482913 is your "Shop" code.` || got["type"] != "sms" || id != "msg-1" {
			t.Errorf("%v %s", got, id)
		}
	}
	s, err := smswebhook.New(smswebhook.Config{URL: server.URL, Secret: "another secret of enough bytes"})
	if err != nil {
		t.Fatal(err)
	}
	var failed *outbox.SendError
	if err := s.SendText(t.Context(), text(t)); !errors.As(err, &failed) || failed.Fault != outbox.SenderDown {
		t.Errorf("with another secret: %v", err)
	}
}

func TestFaults(t *testing.T) {
	for status, want := range map[int]outbox.SendFault{
		400: outbox.Rejected, 422: outbox.Rejected, 410: outbox.Rejected,
		401: outbox.SenderDown, 403: outbox.SenderDown, 404: outbox.SenderDown, 429: outbox.SenderDown, 301: outbox.SenderDown, 503: outbox.SenderDown,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, "+15005550009 is odd")
		}))
		s, err := smswebhook.New(smswebhook.Config{URL: server.URL, Secret: key})
		if err != nil {
			t.Fatal(err)
		}
		err = s.SendText(t.Context(), text(t))
		server.Close()
		var failed *outbox.SendError
		if !errors.As(err, &failed) || failed.Fault != want || strings.Contains(err.Error(), "+1500") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for what, c := range map[string]smswebhook.Config{
		"no URL":         {Secret: key},
		"plain http":     {URL: "http://sms.example.com/", Secret: key},
		"no secret":      {URL: "https://sms.example.com/"},
		"a short secret": {URL: "https://sms.example.com/", Secret: "short"},
		"bad base64":     {URL: "https://sms.example.com/", Secret: "whsec_!!!"},
	} {
		if _, err := smswebhook.New(c); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	c := smswebhook.Config{URL: "https://sms.example.com/", Secret: key}
	if shown := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(shown, key) {
		t.Errorf("the secret shows: %s", shown)
	}
}
