package operate

import (
	"context"
	"crypto/rand"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// testTimeout bounds one sender.
const testTimeout = time.Minute

// TestMail sends a mail through every sender, not only the first that takes it: a
// fallback that does not work is found out here.
func (i *Instance) TestMail(ctx context.Context, by netip.Addr, recipient string) (out TestMail, err error) {
	to, err := address.Parse(recipient)
	if err != nil {
		return out, refuse(Malformed, "to: %w", err)
	}
	i.audit(by, "test_email", &apps.Holder{Address: to}, "")
	for _, sender := range i.Senders {
		r := i.sendTest(ctx, sender, i.testMessage(to))
		out.Sent = out.Sent || r.Sent
		out.Results = append(out.Results, r)
	}
	return out, nil
}

// sendTest tries one sender. How it fared counts as for any other mail: one that
// works again is not down any more.
func (i *Instance) sendTest(ctx context.Context, sender outbox.Sender, m outbox.Message) TestResult {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	began := time.Now()
	failed := i.Core.Outbox().Tried(sender.Name(), m.To, sender.Send(ctx, m))
	out := TestResult{Sender: sender.Name(), Sent: failed == nil, Outcome: "sent", Seconds: time.Since(began).Seconds()}
	if failed != nil {
		out.Outcome, out.Detail = failed.Word(), failed.Reason
	}
	return out
}

func (i *Instance) testMessage(to address.Address) outbox.Message {
	name, from := i.Setup.FromName, i.Setup.From
	if from == "" {
		name, from = "Gatehouse", "gatehouse@localhost"
	}
	return outbox.Message{
		FromName: name, FromAddress: from, To: to, Language: "en", Date: i.Service.Now(),
		Subject:   "Test mail from Gatehouse",
		Text:      "This is a test. Somebody who runs a site with Gatehouse has sent it to see\nwhether mail arrives. There is nothing to do.\n",
		MessageID: strings.ToLower(rand.Text()) + "@" + domainOf(from),
	}
}
