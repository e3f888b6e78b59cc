package pages

import (
	"bytes"
	"html"
	"net/http"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// codeKey is all that the form for a code depends on within one configuration,
// beside what fills its gaps, for those for whom commonCode is true.
type codeKey struct {
	origin origin.Origin
	words  *catalog
	digits int
	resend bool // the mail can be asked for again only in a while
}

// codeForm is the form for a code with its gaps.
type codeForm struct {
	*stencil
	head fixedPart // what is before the first gap
}

// What fills the gaps of the form.
const (
	gapFlow = iota
	gapAddress
	gapUsername
	gapLogin
	gapWhen
	gapSeconds = gapNumber
)

// commonCode tells whether a page about f is the form as almost all see it: it
// says nothing but that a code was sent.
func (e *exchange) commonCode(f *authcore.Flow) bool {
	return e.p.look.brand.Pages == "" && e.r.URL.RawQuery == "" && e.v.Session == nil && f.State == event.Accepted && !f.MailDown && !f.MailDelayed
}

// codePage answers with the form for the code of f.
func (e *exchange) codePage(f *authcore.Flow) {
	v := e.codeView(f)
	key := codeKey{e.v.Origin, e.words, v.Digits, v.ResendIn > 0}
	form, ok := e.p.codes.get(key)
	if !ok {
		var page bytes.Buffer
		if err := e.p.look.render(&page, e.p.codeMarked(key)); err != nil {
			v.titled("code.title")
			e.page(http.StatusOK, v) // which says what is wrong
			return
		}
		s := cut(page.String())
		form = &codeForm{s, newFixedPart(s.pieces[0])}
		e.p.codes.put(key, form)
	}
	values := make([]string, len(marks))
	values[gapFlow] = html.EscapeString(v.Flow)
	values[gapAddress] = breakable(html.EscapeString(v.Address))
	values[gapUsername] = html.EscapeString(v.Username)
	values[gapLogin] = html.EscapeString(v.Login)
	values[gapWhen] = html.EscapeString(v.When)
	values[gapSeconds] = strconv.Itoa(v.ResendIn)
	e.headPage(v.Lang, v.target)
	e.write(http.StatusOK, form.fill(values), form.head)
}

// codeMarked is the form for a code with marks where it has gaps.
func (p *Pages) codeMarked(key codeKey) *View {
	v := p.look.view(key.words, key.origin, "code", p.sent())
	v.Digits, v.Minutes = key.digits, wholeMinutes(p.service.CodeRule().Lifetime)
	v.HasForm, v.Resend = true, true
	v.Flow, v.Address, v.Username, v.Login = marks[gapFlow], marks[gapAddress], marks[gapUsername], marks[gapLogin]
	if key.resend {
		v.ResendIn, v.When = markNumber, marks[gapWhen]
	}
	v.titled("code.title")
	return v
}
