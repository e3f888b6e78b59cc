package operate

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

// AdmitWish is what an operator wants to know or to have given out.
type AdmitWish struct {
	Email    string `json:"email"`
	Ref      string `json:"ref"`
	Yes      bool   `json:"yes"`      // give the code out; without it nothing changes
	Because  string `json:"because"`  // for the audit log
	Operator string `json:"operator"` // the same: who wants it
}

// mostSaid bounds what an operator can write into the audit log, in bytes.
const mostSaid = 300

// Admit shows what somebody has started while mail was down, and with Yes gives
// out a code for it. The letters that name it are read out by a visitor whom
// nobody has seen: the operator compares browser, place and time.
func (i *Instance) Admit(ctx context.Context, by netip.Addr, in AdmitWish) (Admission, error) {
	a, err := address.Parse(in.Email)
	if err != nil {
		return Admission{}, refuse(Malformed, "email: %w", err)
	}
	reference, ok := challenge.ParseReference(in.Ref)
	if !ok {
		return Admission{}, refuse(Malformed, "ref is the six letters that the visitor's page shows")
	}
	for _, said := range []string{in.Because, in.Operator} {
		if len(said) > mostSaid || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return Admission{}, refuse(Malformed, "because and operator are one line each, of at most %d bytes", mostSaid)
		}
	}
	found, err := i.Service.Flows().Admit(ctx, reference, a, in.Yes)
	if err != nil {
		return Admission{}, err
	}
	c := found.Challenge
	if c == nil {
		return Admission{}, refuse(NotFound, "nothing waits under this reference for this address; compare both with what the visitor's page shows, where a reference is good for an hour")
	}
	out := Admission{
		Email: a.String(), Ref: reference, Site: c.Origin.String(), AskedAt: c.AskedAt.UTC(), Agent: c.Agent, Network: cmp.Or(c.Network, "this machine"),
		Known: c.Known, MailWorks: !i.Core.Status().MailDown, Refused: string(found.Refused), Code: found.Code,
	}
	if found.Code != "" {
		out.Expires = moment(c.Expires)
		i.Service.Report(event.Event{
			Name: event.Admin, Reason: "admit", Address: a, Challenge: c.ID, Origin: out.Site, Client: by,
			Operator: in.Operator, Detail: in.Because,
		})
	}
	return out, nil
}
