package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// testTimeout bounds one sender.
const testTimeout = 30 * time.Second

// adminTestEmail sends a mail through every sender, not only the first that
// takes it: a fallback that does not work is found out here.
func adminTestEmail(c *adminCall) error {
	in := struct {
		To string `json:"to"`
	}{c.r.URL.Query().Get("to")}
	if err := c.read(&in); err != nil {
		return err
	}
	to, err := address.Parse(in.To)
	if err != nil {
		return refuseCall(http.StatusBadRequest, "to: %w", err)
	}
	c.audit("test_email", &authcore.Holder{Address: to}, "")
	var results []operate.TestResult
	sent := false
	for _, sender := range c.app.mailSenders {
		r := sendTest(c.r.Context(), sender, c.app.testMessage(to, c.run.service.Now()))
		sent = sent || r.Sent
		results = append(results, r)
	}
	if !sent {
		c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
		c.w.WriteHeader(http.StatusBadGateway)
	}
	return c.json(map[string]any{"sent": sent, "results": results})
}

func sendTest(ctx context.Context, sender authcore.Sender, m authcore.Message) operate.TestResult {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	began := time.Now()
	err := sender.Send(ctx, m)
	out := operate.TestResult{Sender: sender.Name(), Sent: err == nil, Outcome: "sent", Seconds: since(began)}
	if failed := new(authcore.SendError); errors.As(err, &failed) {
		out.Outcome, out.Detail = failed.Fault.String(), failed.Reason
	} else if err != nil {
		out.Outcome, out.Detail = authcore.SenderDown.String(), "the sender failed"
	}
	return out
}

func (a *App) testMessage(to address.Address, now time.Time) authcore.Message {
	from := From{Name: "Gatehouse", Address: "gatehouse@localhost"}
	if a.From != nil {
		from = *a.From
	}
	return authcore.Message{
		FromName: from.Name, FromAddress: from.Address, To: to, Language: "en", Date: now,
		Subject:   "Test mail from Gatehouse",
		Text:      "This is a test. Somebody who runs a site with Gatehouse has sent it to see\nwhether mail arrives. There is nothing to do.\n",
		MessageID: randomName() + "@" + domainOf(from.Address),
	}
}
