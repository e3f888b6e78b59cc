package hooks_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/hooks"
)

// posts has an event told, signed for signed and with this timestamp and token, and
// returns the status and what was taken down.
func posts(t *testing.T, signed, timestamp, token, event string) (status int, taken []delivery.Report) {
	t.Helper()
	h := hooks.New(hooks.Config{
		MailgunKey: "key", Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Take: func(_ context.Context, r delivery.Report) (delivery.Taken, error) {
			taken = append(taken, r)
			return delivery.Noted, nil
		},
	})
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(signed))
	body := fmt.Sprintf(`{"signature":{"timestamp":%q,"token":%q,"signature":%q},"event-data":%s}`, timestamp, token, hex.EncodeToString(mac.Sum(nil)), event)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "https://auth.example.com/_gatehouse/hooks/mailgun", strings.NewReader(body)))
	return w.Code, taken
}

const oneDelivered = `{"event":"delivered","recipient":"alice@example.com"}`

// Time and token are signed as one string: what lies where the one ends must not move.
func TestTimeAndTokenDoNotMix(t *testing.T) {
	now := fmt.Sprint(time.Now().Unix())
	token := strings.Repeat("e0", 25)
	for _, test := range []struct {
		timestamp, token string
		want             int
	}{
		{now, token, 200},
		{now + "e0", token[2:], 406},
		{now + "e", token[1:], 406},
		{now[:9], now[9:] + token, 406},
	} {
		if got, _ := posts(t, now+token, test.timestamp, test.token, oneDelivered); got != test.want {
			t.Errorf("%s %s: %d, want %d", test.timestamp, test.token, got, test.want)
		}
	}
	for _, odd := range []string{"+" + now, "0" + now, now + ".5", " " + now, "0x1", "-1", ""} {
		if got, _ := posts(t, odd+token, odd, token, oneDelivered); got != 406 {
			t.Errorf("%q: %d", odd, got)
		}
	}
}

// Only a mailbox that is not there holds mail back.
func TestWhichBouncesAreHard(t *testing.T) {
	now := fmt.Sprint(time.Now().Unix())
	for about, want := range map[string]bool{
		`"reason":"bounce","delivery-status":{"code":550,"enhanced-code":"5.1.1","bounce-type":"hard"}`:                     true,
		`"reason":"bounce","delivery-status":{"code":550,"message":"5.1.1 no such user"}`:                                   true,
		`"reason":"bounce","delivery-status":{"code":550,"message":"550 5.1.10 null MX"}`:                                   true,
		`"reason":"generic","delivery-status":{"code":550,"enhanced-code":"5.4.1"}`:                                         true,
		`"reason":"bounce","delivery-status":{"code":550,"message":"no such user"}`:                                         true,
		`"reason":"bounce","delivery-status":{"code":554,"bounce-type":"hard"}`:                                             true,
		`"reason":"bounce","delivery-status":{"code":"550"}`:                                                                true,
		`"reason":"suppress-bounce","delivery-status":{"code":605}`:                                                         true,
		`"reason":"suppress-complaint","delivery-status":{"code":607}`:                                                      true,
		`"reason":"bounce","delivery-status":{"code":552,"enhanced-code":"5.2.2","message":"mailbox full"}`:                 false,
		`"reason":"bounce","delivery-status":{"code":552,"message":"over quota"}`:                                           false,
		`"reason":"bounce","delivery-status":{"code":550,"message":"550 5.7.1 blocked for spam"}`:                           false,
		`"reason":"bounce","delivery-status":{"code":550,"description":"5.7.26 unauthenticated"}`:                           false,
		`"reason":"bounce","delivery-status":{"code":553,"enhanced-code":"5.1.8","message":"sender's domain is not there"}`: false,
		`"reason":"bounce","delivery-status":{"code":554,"message":"transaction failed"}`:                                   false,
		`"reason":"generic","delivery-status":{"code":602,"message":"Too old"}`:                                             false,
		`"reason":"old","delivery-status":{"code":550}`:                                                                     false,
		`"reason":"espblock","delivery-status":{"code":550,"enhanced-code":"5.1.1"}`:                                        false,
		`"reason":"bounce","delivery-status":{"code":550,"enhanced-code":"5.1.1","bounce-type":"soft"}`:                     false,
	} {
		_, taken := posts(t, now+"token", now, "token", `{"event":"failed","severity":"permanent","recipient":"alice@example.com",`+about+`}`)
		if len(taken) != 1 || taken[0].Hard != want {
			t.Errorf("%s: %+v, want hard %t", about, taken, want)
		}
	}
}
