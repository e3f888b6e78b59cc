package maillog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestTextMessage(t *testing.T) {
	number, err := address.ParsePhone("+15005550009")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := maillog.New(&b).SendText(t.Context(), outbox.Text{To: number, Body: "482913 is your \x1b[2JShop code.", Code: "482913"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A text message to +15005550009", "482913 is your [2JShop code.", "Code     482913"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the box lacks %q: %s", want, b.String())
		}
	}
	var failed *outbox.SendError
	if err := maillog.New(broken{}).SendText(t.Context(), outbox.Text{To: number}); !errors.As(err, &failed) || failed.Fault != outbox.SenderDown {
		t.Errorf("a terminal that can't be written to: %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("closed") }
