package operate

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// How far back codes are told, and how many.
const (
	whyMost     = 100 // attempts of a day that are told
	whyLookback = 24 * time.Hour
)

// Why tells whether the person with an address gets in at a site, or anywhere if
// site is empty, and what became of each code that was asked for in the last day.
func (i *Instance) Why(ctx context.Context, email, site string) (Why, error) {
	address, err := address.Parse(email)
	if err != nil {
		return Why{}, refuse(Malformed, "email: %w", err)
	}
	out := Why{Email: address.String(), Mark: i.Core.Mark(address), Mails: []WhyMail{}, Gates: []GateVerdict{}}
	if err := i.judge(&out, address, site); err != nil {
		return Why{}, err
	}
	holders, err := i.Service.Apps().Holders(ctx, address.String())
	if err != nil {
		return Why{}, err
	}
	for _, h := range holders {
		if h.Realm == (person.Realm{}) {
			out.Subject = h.Subject
		} else {
			out.Others = append(out.Others, h.Subject)
		}
	}
	out.Domain = domainStatus(i.Core.Delivery().Of(address))
	problems, held, err := i.Core.Delivery().Problems(ctx, address)
	if err != nil {
		return Why{}, err
	}
	out.Problems, out.HeldUntil = append([]delivery.Problem{}, problems...), moment(held)
	paused, err := i.Core.Delivery().PausedUntil(ctx, address)
	if err != nil {
		return Why{}, err
	}
	out.PausedUntil = moment(paused)
	out.Mails, err = i.whyMails(ctx, address)
	return out, err
}

// judge asks the gates at site, or all gates if no site is given.
func (i *Instance) judge(out *Why, address address.Address, site string) error {
	if site == "" {
		i.judgeAnywhere(out, address)
		return nil
	}
	origin, path, err := parseSite(site)
	if err != nil {
		return err
	}
	out.Site = origin.String() + path
	var gates []Gate
	var beside []string // gates at this host that look at other paths
	for _, g := range i.Gates {
		switch {
		case !g.Covers(origin):
		case g.OnPath(path):
			gates = append(gates, g)
		case !slices.Contains(beside, g.At):
			beside = append(beside, g.At)
		}
	}
	if len(gates) == 0 {
		if len(beside) > 0 {
			return refuse(NotFound, "no gate looks at %s%s; on this host gates stand at %s: ask with one of these paths", origin, path, strings.Join(beside, "; "))
		}
		return refuse(NotFound, "no gate stands at this site; gatehouse status lists where they stand, as GET /gatehouse/status does")
	}
	target := session.Target{Origin: origin, Path: path, Escaped: (&url.URL{Path: path}).EscapedPath()}
	for _, g := range gates { // several must all admit
		v := g.verdict(g.Rule.Explain(address, target))
		if len(out.Gates) == 0 || out.Allowed {
			out.Verdict = v.Verdict
		}
		out.Gates = append(out.Gates, v)
	}
	return nil
}

// judgeAnywhere asks all gates: one that admits is enough.
func (i *Instance) judgeAnywhere(out *Why, address address.Address) {
	out.Verdict = Verdict{Rule: policy.NotAllowed}
	for _, g := range i.Gates {
		v := g.verdict(g.Rule.Policy.Explain(address))
		if v.Allowed && !out.Allowed {
			out.Verdict = v.Verdict
		}
		out.Gates = append(out.Gates, v)
	}
}

// verdict puts what a rule says into an answer. rule is the entry that decided.
func (g Gate) verdict(allowed bool, rule string) GateVerdict {
	v := GateVerdict{At: g.At, Verdict: Verdict{Allowed: allowed, Rule: rule}, Besides: g.besides()}
	if !allowed && rule != policy.NotAllowed {
		v.Rule, v.Entry = policy.NotAllowed, "deny "+rule
	}
	return v
}

// besides is what the gate also asks for.
func (g Gate) besides() []string {
	var all []string
	if len(g.ClientIP) > 0 {
		all = append(all, "the client must come from "+strings.Join(g.ClientIP, " "))
	}
	if len(g.Trust) > 0 {
		all = append(all, "nobody has to sign in from "+strings.Join(g.Trust, " "))
	}
	if g.Rule.Fresh > 0 {
		all = append(all, "the sign-in must be younger than "+g.Rule.Fresh.String())
	}
	if g.ReportOnly {
		all = append(all, "report_only: nobody is stopped")
	}
	return all
}

// parseSite reads a URL whose path is optional.
func parseSite(site string) (orig origin.Origin, path string, err error) {
	if !strings.Contains(site, "://") {
		site = "https://" + site
	}
	u, err := url.Parse(site)
	if err == nil {
		orig, err = origin.Parse(u.Scheme + "://" + u.Host)
	}
	if err != nil || u.User != nil {
		return orig, "", refuse(Malformed, "site is not a URL as in https://app.example.com/path")
	}
	if path = u.Path; path == "" {
		path = "/"
	}
	return orig, path, nil
}

// waited is how long the mail of an attempt waited until a server took it: the
// recipient's, where the mail system reports that.
func waited(a challenge.Attempt) *float64 {
	var asked, taken time.Time
	for _, step := range a.Steps {
		switch step.Outcome {
		case challenge.OutcomeQueued:
			asked = step.At
		case challenge.OutcomeAccepted, challenge.OutcomeDelivered:
			taken = step.At
		}
	}
	if asked.IsZero() || taken.Before(asked) {
		return nil
	}
	return new(taken.Sub(asked).Seconds())
}

func (i *Instance) whyMails(ctx context.Context, address address.Address) ([]WhyMail, error) {
	since := i.Service.Now().Add(-whyLookback)
	attempts, err := i.Core.History().Of(ctx, address, since, whyMost)
	mails := make([]WhyMail, len(attempts))
	for n, a := range attempts {
		mails[n] = WhyMail{
			At: a.At.UTC(), Outcome: string(a.Outcome), Sender: a.Sender, Detail: a.Detail,
			Site: a.Origin.String(), Challenge: a.Challenge, Session: a.Session, Steps: a.Steps,
		}
		mails[n].Waited = waited(a)
		for j := range mails[n].Steps {
			mails[n].Steps[j].At = mails[n].Steps[j].At.UTC()
		}
	}
	return mails, err
}
