package screen

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

// ProblemKind tells problems apart; each has its own words.
type ProblemKind string

// What a gate refuses.
const (
	NotAllowed         ProblemKind = "not_allowed"          // 403: signed in, but not admitted
	ClientIP           ProblemKind = "client_ip"            // 403: the network is not admitted
	BadOrigin          ProblemKind = "bad_origin"           // 400: a host that is not this site's
	InsecureHTTP       ProblemKind = "insecure_http"        // 400: sign-in over plain http
	Unavailable        ProblemKind = "unavailable"          // 503: it can't be told now
	BadWebSocketOrigin ProblemKind = "bad_websocket_origin" // 403
)

// What the pages themselves refuse.
const (
	NotFound  ProblemKind = "not_found"
	BadMethod ProblemKind = "bad_method"
	CrossSite ProblemKind = "cross_site"
	BadForm   ProblemKind = "bad_form"
	BadMedia  ProblemKind = "bad_media"
	TooLarge  ProblemKind = "too_large"
	TooSlow   ProblemKind = "too_slow"
	TooEarly  ProblemKind = "too_early"
	NoFlow    ProblemKind = "no_flow"
	BadApp    ProblemKind = "bad_app"  // an app asked for what can't be done
	MayOpen   ProblemKind = "may_open" // 200: what was said to be closed is not
)

// plain are the kinds that nobody meets who just uses the pages. They share
// their words; the status tells them apart.
var plain = map[ProblemKind]ProblemKind{
	BadMedia: BadForm, TooLarge: BadForm, BadWebSocketOrigin: BadForm,
}

// problem sets the words for a kind of problem.
func (v *View) Problem(kind ProblemKind) {
	if words, ok := plain[kind]; ok {
		kind = words
	}
	text := "problem." + string(kind)
	switch {
	case kind == NotAllowed && v.Part != "":
		text = "problem.not_allowed_part"
	case kind == NotAllowed && v.Some:
		text = "problem.not_allowed_some"
	}
	v.Text = v.words.sayHTML(text, 0, v.value)
	v.Titled("problem." + string(kind) + ".title")
}

// dead says why a link does nothing any more.
func (v *View) Dead(why event.Verdict) {
	key := "link.expired.title"
	switch why {
	case event.Used:
		v.State, key = "used", "link.used"
	case event.Locked:
		v.State, key = "locked", "link.locked"
	case event.Expired:
		v.State = "expired"
		v.Text = v.words.sayHTML("link.expired", v.Minutes, v.value)
	default:
		v.State, key = "unknown", "link.unknown"
	}
	v.headed(v.words.say(key, v.Minutes, v.value))
}

// explain says why a code can't be answered, if that is so, and how to go on.
func (v *View) Explain(state event.Verdict, wait time.Duration) {
	if v.When = ""; wait > 0 {
		v.When = v.words.When(wait)
	}
	switch state {
	case event.Expired:
		v.over("expired")
	case event.Locked:
		v.over("locked")
	case event.CodesOff:
		v.State, v.HasForm = "codes_off", false
		v.Fail("code.off", 0)
	case event.Used:
		v.over("used")
		v.Resend = false
	}
}

// over shows the page of a code that does nothing any more: what happened is
// its heading, and when a new one can be had stands once, beside the button.
func (v *View) over(state string) {
	v.State, v.HasForm, v.Heading = state, false, v.words.say("code."+state+".title", 0, v.value)
	if key := "code." + state; v.words.has(key) {
		v.Text = v.words.sayHTML(key, 0, v.value)
	}
}
