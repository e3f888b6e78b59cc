package pages

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

const (
	// freshSignIn is how old a sign-in may be to take one's data away or delete
	// it: a browser that was left open must not do either.
	freshSignIn = 5 * time.Minute
	// recentMost bounds the list of recent sign-ins.
	recentMost = 30
)

// own is the origin that the account page keeps to; zero where it shows all that
// concerns the person.
func (e *exchange) own() origin.Origin {
	if e.v.Account.Whole {
		return origin.Origin{}
	}
	return e.v.Origin
}

// account shows where the visitor is signed in, this browser first, and what
// became of recent sign-ins; on an app's own origin this browser's session.
func account(e *exchange) {
	e.account(http.StatusOK, func(v *screen.View) {
		for _, done := range []string{"ended", "ended_others", "saved", "withdrawn"} {
			if e.r.URL.Query().Has(done) {
				v.Note("account." + done)
			}
		}
	})
}

// account shows the page; fill adds what has just happened, or what is wrong.
func (e *exchange) account(status int, fill func(*screen.View)) {
	s := e.v.Session
	if s == nil {
		e.redirect(loginPath(origin.ParseReturnTo(screen.AccountPath, e.v.Origin, nil), e.v.Origin, e.asked))
		return
	}
	if !e.v.Account.Whole {
		e.ownAccount(status, fill)
		return
	}
	v := e.view("account", "shown")
	v.Name = s.Name
	ctx, core := e.r.Context(), e.p.service.Core()
	list, err := core.Sessions().Of(ctx, s.Subject)
	if err != nil {
		e.outage(err)
		return
	}
	attempts, err := core.History().Of(ctx, s.Address, e.p.service.Now().Add(-challenge.HistoryOfPeople), recentMost)
	if err != nil {
		e.outage(err)
		return
	}
	v.Sessions = e.words.Sessions(session.Browsers(list), s, e.p.look.Listed)
	v.Attempts = e.words.Attempts(attempts)
	held, err := core.Grants().Held(ctx, s.Subject)
	if err != nil {
		e.outage(err)
		return
	}
	for _, c := range held {
		name := c.Client
		if client := core.Grants().Client(c.Client); client != nil {
			name = client.Name
		}
		v.Apps = append(v.Apps, e.words.App(c.Client, name))
	}
	fill(v)
	v.Titled("account.title")
	e.page(status, v)
}

// ownAccount shows what the page may on an app's own origin. The list of sites
// that the session has opened is not in it, nor is anything of other sessions.
func (e *exchange) ownAccount(status int, fill func(*screen.View)) {
	v := e.view("account", "own")
	s := e.v.Session
	v.Sessions = e.words.Sessions([]session.Info{{
		ID: s.ID, Method: s.Method(), AuthTime: s.AuthTime, LastSeen: s.LastSeen(), Agent: s.Agent, Network: s.Network, Public: s.Public,
		Sites: []string{e.v.Origin.String()},
	}}, s, e.p.look.Listed)
	v.Elsewhere = e.wholeAccount(screen.AccountPath)
	fill(v)
	v.Titled("account.title")
	e.page(status, v)
}

// wholeAccount links to a page of the whole account, empty for none.
func (e *exchange) wholeAccount(path string) screen.SiteLink {
	at := e.v.Account.At
	if at.IsZero() {
		return screen.SiteLink{}
	}
	return e.p.look.Link(at, path)
}

// accountAction is what one of the page's forms does.
type accountAction struct {
	do func(*exchange)
	// own: it keeps to the origin that it is asked at, and so may be sent there
	// by a script of the app.
	own bool
}

// accountActions are the forms of the page, by what follows its path.
var accountActions = map[string]accountAction{
	"name": {do: rename}, "sessions/end-all": {do: endAll}, "export": {do: exportOwn}, "delete": {do: deleteOwn},
	"tokens": {do: makeToken, own: true},
}

// accountAction finds the form that the path is of; do is nil for none.
func (e *exchange) accountAction() accountAction {
	if sid, ok := endedSession(e.token); ok {
		this := e.v.Session != nil && sid == e.v.Session.ID
		return accountAction{do: func(e *exchange) { endOne(e, sid) }, own: this}
	}
	if id, ok := endedToken(e.token); ok {
		return accountAction{do: func(e *exchange) { endToken(e, id) }, own: true}
	}
	if app, ok := between(e.token, "apps/", "/withdraw"); ok {
		return accountAction{do: func(e *exchange) { withdraw(e, app) }}
	}
	return accountActions[e.token]
}

// changeAccount does what one of the forms asks for.
func changeAccount(e *exchange) {
	action := e.accountAction()
	switch {
	case action.do == nil:
		e.problem(Problem{Kind: screen.NotFound})
	case e.v.Session == nil:
		e.redirect(loginPath(origin.ParseReturnTo(screen.AccountPath, e.v.Origin, nil), e.v.Origin, e.asked))
	case !e.v.Account.Whole && !action.own:
		e.account(http.StatusForbidden, func(v *screen.View) { v.Fail("account.not_here", 0) })
	default:
		action.do(e)
	}
}

// noAccountPage answers a GET for a form's address, which is none but for that
// of tokens.
func noAccountPage(e *exchange) {
	if e.token == "tokens" {
		tokens(e)
		return
	}
	if e.accountAction().do == nil {
		e.problem(Problem{Kind: screen.NotFound})
		return
	}
	e.w.Header().Set("Allow", "POST")
	e.problem(Problem{Kind: screen.BadMethod})
}

// endedSession is the sid of sessions/{sid}/end.
func endedSession(action string) (sid string, ok bool) { return between(action, "sessions/", "/end") }

// between is what an action names between two words of its path.
func between(action, before, after string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(action, before)
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(rest, after)
	return name, ok && name != ""
}

// withdraw takes back what the person has agreed to with an app, which learns
// that they have signed out.
func withdraw(e *exchange, app string) {
	if err := e.p.service.Core().Grants().Withdraw(e.r.Context(), e.v.Session.Subject, app); err != nil {
		e.outage(err)
		return
	}
	e.redirect(screen.AccountPath + "?withdrawn")
}

// endOne ends one of the person's own sessions. Ending this browser's is
// signing out.
func endOne(e *exchange, sid string) {
	s := e.v.Session
	own := sid == s.ID || sid == s.Parent
	reason := session.EndedByOwner
	if own {
		reason = session.SignedOut
	}
	if _, err := e.p.service.Core().Sessions().EndOwn(e.r.Context(), s.Subject, sid, reason); err != nil {
		e.outage(err)
		return
	}
	e.left(own, "ended")
}

// endAll ends all sessions, or with keep=on all but this browser's.
func endAll(e *exchange) {
	s, core := e.v.Session, e.p.service.Core()
	var err error
	keep := e.form.get("keep") == "on"
	if keep {
		_, err = core.Sessions().EndOthers(e.r.Context(), s.Subject, session.Kept{Session: s.ID, Device: e.browser.Device}, session.EndedByOwner)
	} else {
		_, err = core.Sessions().EndPerson(e.r.Context(), s.Subject, session.EndedByOwner)
	}
	if err != nil {
		e.outage(err)
		return
	}
	e.left(!keep, "ended_others")
}

// left goes on after sessions have ended.
func (e *exchange) left(own bool, done string) {
	if own {
		e.jar.expireSession()
		e.redirect(screen.Root + "logout")
		return
	}
	e.redirect(screen.AccountPath + "?" + done)
}

func rename(e *exchange) {
	name, ok := person.ParseName(e.form.get("name"))
	if !ok {
		e.account(http.StatusUnprocessableEntity, func(v *screen.View) {
			v.Name = e.form.get("name")
			v.Fail("account.name_bad", 0)
		})
		return
	}
	if _, err := e.p.service.Core().Rename(e.r.Context(), e.v.Session.Subject, name); err != nil {
		e.outage(err)
		return
	}
	e.changed("renamed")
	e.redirect(screen.AccountPath + "?saved")
}

// changed reports what a person did to their own account.
func (e *exchange) changed(what string) {
	s := e.v.Session
	e.p.service.Report(event.Event{
		Name: event.Account, Reason: what, Address: s.Address, Subject: s.Subject, Session: s.ID,
		Origin: e.v.Origin.String(), Client: e.v.Client,
	})
}

// fresh tells whether the sign-in is young enough, or leads to a new one.
func (e *exchange) fresh() bool {
	if e.p.service.Sessions().IsFresh(e.v.Session, freshSignIn) {
		return true
	}
	to := loginPath(origin.ParseReturnTo(screen.AccountPath, e.v.Origin, nil), e.v.Origin, e.asked)
	e.redirect(to + "&max_age=300")
	return false
}

// exportOwn hands out all that is kept about the person.
func exportOwn(e *exchange) {
	if !e.fresh() {
		return
	}
	data, err := e.ownData(e.r.Context())
	if err != nil {
		e.outage(err)
		return
	}
	e.changed("exported")
	e.w.Header().Set("Content-Disposition", `attachment; filename="account.json"`)
	e.json(http.StatusOK, data)
}

// deleteOwn deletes the account, once the box is ticked.
func deleteOwn(e *exchange) {
	if e.form.get("sure") != "on" {
		e.account(http.StatusUnprocessableEntity, func(v *screen.View) { v.Fail("account.not_sure", 0) })
		return
	}
	if !e.fresh() {
		return
	}
	if _, err := e.p.service.Core().Apps().Delete(e.r.Context(), apps.Deletion{Subject: e.v.Session.Subject, Reason: "deleted_by_owner"}); err != nil {
		e.outage(err)
		return
	}
	e.jar.expireSession()
	e.jar.expireDevice()
	e.jar.expireFlow()
	e.redirect(screen.Root + "logout")
}

func (e *exchange) ownData(ctx context.Context) (*ownData, error) {
	s, core := e.v.Session, e.p.service.Core()
	a, err := core.Account(ctx, s.Subject)
	if err != nil || a == nil {
		return nil, err
	}
	sessions, err := core.Sessions().Of(ctx, s.Subject)
	if err != nil {
		return nil, err
	}
	attempts, err := core.History().Of(ctx, s.Address, e.p.service.Now().Add(-challenge.HistoryOfPeople), session.MaxPage)
	if err != nil {
		return nil, err
	}
	agreed, err := core.Grants().Held(ctx, s.Subject)
	if err != nil {
		return nil, err
	}
	out := newOwnData(a, sessions, attempts)
	for _, c := range agreed {
		out.Apps = append(out.Apps, ownApp{c.Client, c.Scope, c.At.UTC()})
	}
	problems, held, err := core.Delivery().Problems(ctx, s.Address)
	if out.Returned = append([]delivery.Problem{}, problems...); !held.IsZero() {
		out.HeldUntil = &held
	}
	return out, err
}

// ownData is what a person gets of their data.
type ownData struct {
	Subject  string       `json:"sub"`
	Email    string       `json:"email"`
	Name     string       `json:"name"`
	Created  time.Time    `json:"created_at"`
	Sessions []ownSession `json:"sessions"`
	Attempts []ownAttempt `json:"recent_sign_ins"`
	Apps     []ownApp     `json:"apps"`
	// Returned are mails to the person that came back or were called spam, and
	// HeldUntil how long others are held because of that.
	Returned  []delivery.Problem `json:"returned_mails"`
	HeldUntil *time.Time         `json:"mail_held_until,omitempty"`
}

// ownApp is an app that the person has let know who they are, or that holds a
// sign-in while they are away.
type ownApp struct {
	ID    string    `json:"id"`
	Scope []string  `json:"scope"`
	At    time.Time `json:"agreed_at"`
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

func newOwnData(a *authcore.Account, sessions []session.Info, attempts []challenge.Attempt) *ownData {
	out := &ownData{
		Subject: a.Subject, Email: a.Address.String(), Name: a.Name, Created: a.Created.UTC(),
		Sessions: []ownSession{}, Attempts: []ownAttempt{}, Apps: []ownApp{},
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
