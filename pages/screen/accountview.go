package screen

import (
	"cmp"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// SessionView is one sign-in in the list of the account page.
type SessionView struct {
	ID      string
	This    bool   // of this browser
	Public  bool   // on a computer that others use too
	Agent   string // as in "Firefox on Windows"
	Network string // coarsely
	Method  string // code or link
	Began   Moment
	Seen    Moment
	Sites   []string // as lists name them
}

// AppView is an app that the person has let know who they are.
type AppView struct {
	ID       string
	Name     string
	Withdraw template.HTML // what the button says
}

// App is an app on the account page.
func (c *Catalog) App(id, name string) AppView {
	return AppView{id, name, c.sayHTML("account.withdraw", 0, given("app", name))}
}

// AttemptView is one recent wish to sign in.
type AttemptView struct {
	At      Moment
	Outcome string // used, wrong_code, locked, blocked, refused or unfinished
	Agent   string
	Network string
}

// Moment is a time for a <time> element.
type Moment struct {
	Text    string // in UTC
	Machine string // for its datetime attribute
}

func momentOf(t time.Time) Moment { return Moment{UTC(t), t.UTC().Format(time.RFC3339)} }

// Sessions are the person's sign-ins, the one of this browser first. called says
// what a list calls a site.
func (c *Catalog) Sessions(list []session.Info, own *session.Session, called func(origin.Origin) string) []SessionView {
	var out []SessionView
	for _, s := range list {
		out = append(out, SessionView{
			ID: s.ID, This: s.ID == own.ID || s.ID == own.Parent, Public: s.Public,
			Agent: c.Agent(s.Agent), Network: Near(s.Network), Method: s.Method,
			Began: momentOf(s.AuthTime), Seen: momentOf(s.LastSeen), Sites: namesOf(s.Sites, called),
		})
	}
	slices.SortStableFunc(out, func(a, b SessionView) int {
		return cmp.Compare(order(a.This), order(b.This))
	})
	return out
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

func namesOf(origins []string, called func(origin.Origin) string) []string {
	names := make([]string, len(origins))
	for i, text := range origins {
		names[i] = text
		if o, err := origin.Parse(text); err == nil {
			names[i] = called(o)
		}
	}
	return names
}

// outcomeWords are what the outcomes mean to the person.
var outcomeWords = map[challenge.Outcome]string{
	challenge.OutcomeUsed: "used", challenge.OutcomeWrongCode: "wrong_code", challenge.OutcomeLocked: "locked",
	challenge.OutcomeNotAllowed: "blocked", challenge.OutcomeLimited: "blocked", challenge.OutcomePaused: "blocked", challenge.OutcomeHeld: "blocked",
	challenge.OutcomeMailDown: "blocked", challenge.OutcomeRejected: "refused", challenge.OutcomeBounced: "refused",
}

// Attempts are recent sign-ins in words.
func (c *Catalog) Attempts(list []challenge.Attempt) []AttemptView {
	var out []AttemptView
	for _, a := range list {
		out = append(out, AttemptView{
			At: momentOf(a.At), Outcome: cmp.Or(outcomeWords[a.Outcome], "unfinished"),
			Agent: c.Agent(a.Agent), Network: Near(a.Network),
		})
	}
	return out
}

// sampleAccount is what the samples show.
func (c *Catalog) sampleAccount() ([]SessionView, []AttemptView) {
	list := []session.Info{
		{
			ID: "AAAAAAAAAAAAAAAAAAAAAA", Method: "code", AuthTime: SampleTime.Add(-3 * time.Hour), LastSeen: SampleTime,
			Agent: sampleAgent, Network: sampleNetwork, Sites: []string{sampleOrigin, "https://board.example.com"},
		},
		{
			ID: "BBBBBBBBBBBBBBBBBBBBBB", Method: "link", AuthTime: SampleTime.AddDate(0, 0, -5), LastSeen: SampleTime.AddDate(0, 0, -5),
			Agent: samplePhone, Public: true, Sites: []string{sampleOrigin},
		},
	}
	var attempts []challenge.Attempt
	add := func(at time.Time, outcomes ...challenge.Outcome) {
		for _, outcome := range outcomes {
			attempts = append(attempts, challenge.Attempt{At: at, Outcome: outcome, Agent: sampleAgent, Network: sampleNetwork})
		}
	}
	add(list[0].AuthTime, challenge.OutcomeUsed, challenge.OutcomeWrongCode, challenge.OutcomeLocked)
	add(list[1].AuthTime, challenge.OutcomeLimited, challenge.OutcomeRejected, challenge.OutcomeExpired)
	return c.Sessions(list, &session.Session{ID: list[0].ID}, origin.Origin.Host), c.Attempts(attempts)
}

// TokenView is one machine token in the list of the account page.
type TokenView struct {
	ID    string
	Name  string
	Sites []string
	Used  Moment
	Never bool // it was never used
	Until Moment
	End   template.HTML // what the button says
}

// TokenDays are the lives of a token that the form offers; OwnTokenDays are
// those on an app's own origin.
var (
	TokenDays    = []int{30, 90, 365}
	OwnTokenDays = []int{7, 30}
)

// Tokens are machine tokens in words.
func (c *Catalog) Tokens(list []session.MachineToken, called func(origin.Origin) string) []TokenView {
	var out []TokenView
	for _, t := range list {
		view := TokenView{ID: t.ID, Name: t.Name, Used: momentOf(t.LastUsed), Until: momentOf(t.Until), Never: t.LastUsed.Before(t.Made)}
		for _, p := range t.Sites {
			name := strings.TrimPrefix(strings.TrimPrefix(p.String(), "https://"), "http://")
			if o, err := origin.Parse(p.String()); err == nil {
				name = called(o)
			}
			view.Sites = append(view.Sites, name)
		}
		view.End = c.sayHTML("tokens.end", 0, given("name", t.Name))
		out = append(out, view)
	}
	return out
}

// sampleTokens is what the samples show.
func (c *Catalog) sampleTokens() []TokenView {
	site, err := origin.ParseSitePattern(sampleOrigin)
	if err != nil {
		panic(err) // a constant
	}
	return c.Tokens([]session.MachineToken{{
		ID: "AAAAAAAAAAAAAAAAAAAAAA", Machine: session.Machine{Name: "backup", Sites: []origin.SitePattern{site}},
		LastUsed: SampleTime, Until: SampleTime.AddDate(0, 0, TokenDays[0]),
	}}, origin.Origin.Host)
}
