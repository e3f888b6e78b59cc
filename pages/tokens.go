package pages

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// tokens shows the person's machine tokens and a form for another one.
func tokens(e *exchange) {
	e.tokens(http.StatusOK, "", func(v *screen.View) {
		if e.r.URL.Query().Has("ended") {
			v.Note("tokens.ended")
		}
	})
}

// tokens shows the page; secret is that of a token just made, and is shown this
// once.
func (e *exchange) tokens(status int, secret string, fill func(*screen.View)) {
	s := e.v.Session
	if s == nil {
		e.redirect(loginPath(origin.ParseReturnTo(screen.TokensPath, e.v.Origin, nil), e.v.Origin, e.asked))
		return
	}
	made, err := e.p.service.Sessions().Tokens(e.r.Context(), s.Subject, e.own())
	if err != nil {
		e.outage(err)
		return
	}
	v := e.view("tokens", "shown")
	v.Secret, v.Days, v.Tokens = secret, screen.TokenDays, e.words.Tokens(made, e.p.look.Listed)
	if !e.v.Account.Whole {
		v.State, v.Days, v.Elsewhere = "own", screen.OwnTokenDays, e.wholeAccount(screen.TokensPath)
	}
	for _, o := range e.tokenSites() {
		v.Sites = append(v.Sites, e.p.look.Link(o, ""))
	}
	fill(v)
	v.Titled("tokens.title")
	e.page(status, v)
}

// tokenSites are what the person may make tokens for here: at a portal all that
// they may open, elsewhere the site itself.
func (e *exchange) tokenSites() []origin.Origin {
	switch {
	case e.v.Account.Whole && e.v.IsPortal && e.p.sites != nil:
		return e.p.sites(e.v.Session)
	case e.p.opens == nil || e.p.opens(e.v.Session, e.v.Origin):
		return []origin.Origin{e.v.Origin}
	}
	return nil
}

// makeToken makes a machine token and shows its secret, this once.
func makeToken(e *exchange) {
	days, _ := strconv.Atoi(e.form.get("days"))
	orig, err := origin.Parse(e.form.get("site"))
	if err != nil || !slices.Contains(e.tokenSites(), orig) {
		e.badToken(session.BadSite)
		return
	}
	site, err := origin.ParseSitePattern(orig.String())
	if err != nil {
		e.outage(err)
		return
	}
	m := session.Machine{Name: e.form.get("name"), Sites: []origin.SitePattern{site}}
	until := e.p.service.Now().Add(time.Duration(days) * 24 * time.Hour)
	secret, _, no, err := e.p.service.Sessions().MakeToken(e.r.Context(), e.v.Session, e.own(), m, until)
	switch {
	case err != nil:
		e.outage(err)
	case no == session.NotFresh:
		to := loginPath(origin.ParseReturnTo(screen.TokensPath, e.v.Origin, nil), e.v.Origin, e.asked)
		e.redirect(to + "&max_age=" + strconv.Itoa(int(session.MachineFresh.Seconds())))
	case no != "":
		e.badToken(no)
	default:
		e.tokens(http.StatusOK, secret, func(*screen.View) {})
	}
}

func (e *exchange) badToken(why session.Refusal) {
	e.tokens(http.StatusUnprocessableEntity, "", func(v *screen.View) {
		v.Name = e.form.get("name")
		v.Fail(tokenRefusals[why], 0)
	})
}

// tokenRefusals says each refusal in its own words.
var tokenRefusals = map[session.Refusal]string{
	session.BadMachine: "tokens.bad", session.NameTaken: "tokens.taken", session.TooManyMade: "tokens.too_many",
	session.BadSite: "tokens.bad_site", session.NotHere: "tokens.bad_site", session.BadUntil: "tokens.bad_until",
}

// endedToken is the id of tokens/{id}/end.
func endedToken(action string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(action, "tokens/")
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, "/end")
	return id, ok && id != ""
}

// endToken ends one of the person's own tokens.
func endToken(e *exchange, id string) {
	if _, err := e.p.service.Sessions().EndToken(e.r.Context(), e.v.Session.Subject, e.own(), id); err != nil {
		e.outage(err)
		return
	}
	e.redirect(screen.TokensPath + "?ended")
}
