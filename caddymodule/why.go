package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// Outcomes of a policy that are no entry of it.
const (
	ruleNobody  = policy.NotAllowed
	whyMost     = 100 // attempts of a day that are told
	whyLookback = 24 * time.Hour
)

func adminWhy(c *adminCall) error {
	q := c.r.URL.Query()
	in := struct {
		Email string `json:"email"`
		Site  string `json:"site"`
	}{q.Get("email"), q.Get("site")}
	if c.r.Method == http.MethodPost {
		if err := c.read(&in); err != nil {
			return err
		}
	}
	address, err := address.Parse(in.Email)
	if err != nil {
		return refuseCall(http.StatusBadRequest, "email: %w", err)
	}
	out := operate.Why{Email: address.String(), Mark: c.run.core.Mark(address), Mails: []operate.WhyMail{}, Gates: []string{}}
	if err := c.judge(&out, address, in.Site); err != nil {
		return err
	}
	holders, err := c.run.service.Holders(c.r.Context(), address.String())
	if err != nil {
		return err
	}
	for _, h := range holders {
		if h.Realm == (authcore.Realm{}) {
			out.Subject = h.Subject
		} else {
			out.Others = append(out.Others, h.Subject)
		}
	}
	if out.Mails, err = c.whyMails(address); err != nil {
		return err
	}
	return c.json(out)
}

// judge asks the gates at site, or all gates if no site is given.
func (c *adminCall) judge(out *operate.Why, address address.Address, site string) error {
	if site == "" {
		c.judgeAnywhere(out, address)
		return nil
	}
	origin, path, err := parseSite(site)
	if err != nil {
		return err
	}
	out.Site = origin.String() + path
	var gates []*Gate
	var beside []string // gates at this host that look at other paths
	for _, g := range c.app.allGates() {
		switch {
		case !g.place.covers(origin):
		case g.onPath(path):
			gates = append(gates, g)
		case !slices.Contains(beside, g.String()):
			beside = append(beside, g.String())
		}
	}
	if len(gates) == 0 {
		if len(beside) > 0 {
			return refuseCall(http.StatusNotFound, "no gate looks at %s%s; on this host gates stand at %s: ask with one of these paths", origin, path, strings.Join(beside, "; "))
		}
		return refuseCall(http.StatusNotFound, "no gate stands at this site; gatehouse status lists where they stand, as GET /gatehouse/status does")
	}
	out.Allowed = true
	target := authcore.Target{Origin: origin, Path: path, Escaped: (&url.URL{Path: path}).EscapedPath()}
	for _, g := range gates { // several must all admit
		out.Gates = append(out.Gates, g.String())
		if allowed, rule := g.rule.Explain(address, target); !allowed {
			refuse(out, rule)
			return nil
		} else {
			out.Rule = rule
		}
		out.Besides = append(out.Besides, g.besides()...)
	}
	return nil
}

func (c *adminCall) judgeAnywhere(out *operate.Why, address address.Address) {
	refuse(out, ruleNobody)
	for _, g := range c.app.allGates() {
		out.Gates = append(out.Gates, g.String())
		if allowed, rule := g.rule.Policy.Explain(address); allowed && !out.Allowed {
			out.Allowed, out.Rule, out.Entry = true, rule, ""
		}
	}
}

// refuse notes a refusal; rule is the entry of deny, if one decided.
func refuse(w *operate.Why, rule string) {
	w.Allowed, w.Rule, w.Entry = false, ruleNobody, ""
	if rule != ruleNobody {
		w.Entry = "deny " + rule
	}
}

// besides is what the gate also asks for.
func (g *Gate) besides() []string {
	var all []string
	if len(g.ClientIP) > 0 {
		all = append(all, "the client must come from "+strings.Join(g.ClientIP, " "))
	}
	if g.Fresh > 0 {
		all = append(all, "the sign-in must be younger than "+time.Duration(g.Fresh).String())
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
		return orig, "", refuseCall(http.StatusBadRequest, "site is not a URL as in https://app.example.com/path")
	}
	if path = u.Path; path == "" {
		path = "/"
	}
	return orig, path, nil
}

func (c *adminCall) whyMails(address address.Address) ([]operate.WhyMail, error) {
	since := c.run.service.Now().Add(-whyLookback)
	attempts, err := c.run.core.Attempts(c.r.Context(), address, since, whyMost)
	mails := make([]operate.WhyMail, len(attempts))
	for i, a := range attempts {
		mails[i] = operate.WhyMail{
			At: a.At.UTC(), Outcome: string(a.Outcome), Sender: a.Sender, Detail: a.Detail,
			Site: a.Origin.String(), Challenge: a.Challenge, Session: a.Session, Steps: a.Steps,
		}
		for j := range mails[i].Steps {
			mails[i].Steps[j].At = mails[i].Steps[j].At.UTC()
		}
	}
	return mails, err
}
