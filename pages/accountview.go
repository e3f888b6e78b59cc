package pages

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
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
	Sites   []string      // hosts
	End     template.HTML // what the button says
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

func momentOf(t time.Time) Moment { return Moment{utc(t), t.UTC().Format(time.RFC3339)} }

// sessions are the person's sign-ins, the one of this browser first.
func (c *catalog) sessions(list []authcore.SessionInfo, own *authcore.Session) []SessionView {
	var out []SessionView
	for _, s := range list {
		agent := c.agent(s.Agent)
		out = append(out, SessionView{
			ID: s.ID, This: s.ID == own.ID || s.ID == own.Parent, Public: s.Public,
			Agent: agent, Network: near(s.Network), Method: s.Method,
			Began: momentOf(s.AuthTime), Seen: momentOf(s.LastSeen), Sites: hostsOf(s.Sites),
			End: c.sayHTML("account.end", 0, given("agent", agent)),
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

func hostsOf(origins []string) []string {
	hosts := make([]string, len(origins))
	for i, o := range origins {
		if u, err := url.Parse(o); err == nil {
			hosts[i] = u.Host
		}
	}
	return hosts
}

// outcomeWords are what the outcomes mean to the person.
var outcomeWords = map[challenge.Outcome]string{
	challenge.OutcomeUsed: "used", challenge.OutcomeWrongCode: "wrong_code", challenge.OutcomeLocked: "locked",
	challenge.OutcomeNotAllowed: "blocked", challenge.OutcomeLimited: "blocked", challenge.OutcomePaused: "blocked",
	challenge.OutcomeMailDown: "blocked", challenge.OutcomeRejected: "refused",
}

func (c *catalog) attempts(list []challenge.Attempt) []AttemptView {
	var out []AttemptView
	for _, a := range list {
		out = append(out, AttemptView{
			At: momentOf(a.At), Outcome: cmp.Or(outcomeWords[a.Outcome], "unfinished"),
			Agent: c.agent(a.Agent), Network: near(a.Network),
		})
	}
	return out
}

// ownData is what a person gets of their data.
type ownData struct {
	Subject  string       `json:"sub"`
	Email    string       `json:"email"`
	Name     string       `json:"name"`
	Created  time.Time    `json:"created_at"`
	Sessions []ownSession `json:"sessions"`
	Attempts []ownAttempt `json:"recent_sign_ins"`
}

type ownSession struct {
	ID       string    `json:"sid"`
	Sites    []string  `json:"sites"`
	Method   string    `json:"method"`
	Machine  string    `json:"token,omitempty"` // name of a machine token
	AuthTime time.Time `json:"auth_time"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires_at"`
	Agent    string    `json:"agent"`
	Network  string    `json:"network"`
}

type ownAttempt struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`
	Site    string    `json:"site"`
	Agent   string    `json:"agent"`
	Network string    `json:"network"`
}

func newOwnData(a *authcore.Account, sessions []authcore.SessionInfo, attempts []challenge.Attempt) *ownData {
	out := &ownData{
		Subject: a.Subject, Email: a.Address.String(), Name: a.Name, Created: a.Created.UTC(),
		Sessions: []ownSession{}, Attempts: []ownAttempt{},
	}
	for _, s := range sessions {
		out.Sessions = append(out.Sessions, ownSession{
			s.ID, s.Sites, s.Method, s.Machine, s.AuthTime.UTC(), s.LastSeen.UTC(), s.Expires.UTC(), s.Agent, s.Network,
		})
	}
	for _, a := range attempts {
		out.Attempts = append(out.Attempts, ownAttempt{a.At.UTC(), string(a.Outcome), a.Origin.String(), a.Agent, a.Network})
	}
	return out
}

// sampleAccount is what the samples show.
func (c *catalog) sampleAccount() ([]SessionView, []AttemptView) {
	list := []authcore.SessionInfo{
		{
			ID: "AAAAAAAAAAAAAAAAAAAAAA", Method: "code", AuthTime: sampleTime, LastSeen: sampleTime.Add(time.Hour),
			Agent: sampleAgent, Network: sampleNetwork, Sites: []string{sampleOrigin, "https://files.example.org"},
		},
		{ID: "BBBBBBBBBBBBBBBBBBBBBB", Method: "link", AuthTime: sampleTime, LastSeen: sampleTime, Public: true, Sites: []string{sampleOrigin}},
	}
	var attempts []challenge.Attempt
	for _, outcome := range []challenge.Outcome{
		challenge.OutcomeUsed, challenge.OutcomeWrongCode, challenge.OutcomeLocked, challenge.OutcomeLimited,
		challenge.OutcomeRejected, challenge.OutcomeExpired,
	} {
		attempts = append(attempts, challenge.Attempt{At: sampleTime, Outcome: outcome, Agent: sampleAgent, Network: sampleNetwork})
	}
	return c.sessions(list, &authcore.Session{ID: list[0].ID}), c.attempts(attempts)
}
