package pages

import (
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// resend has the mail of a sign-in under way sent again.
func resend(e *exchange) {
	flow := e.form.get("flow")
	a, err := e.p.service.Flows().Resend(e.r.Context(), e.browser, flow)
	switch {
	case err != nil:
		e.outage(err)
	case a.Verdict == event.Accepted:
		e.redirect(codePath(flow))
	case a.Flow == nil:
		e.resendWithoutFlow(a)
	default:
		e.codeAgain(a)
	}
}

// resendWithoutFlow answers when authcore gave a verdict before it looked for
// the flow, as it does while mail is down.
func (e *exchange) resendWithoutFlow(a authcore.Answer) {
	f, err := e.p.service.Flows().Flow(e.r.Context(), e.browser, e.form.get("flow"))
	if err != nil {
		e.outage(err)
		return
	}
	if f == nil {
		e.problem(Problem{Kind: screen.NoFlow})
		return
	}
	a.Flow = f
	e.codeAgain(a)
}

func codePath(flow string) string {
	q := url.Values{"resent": {"1"}}
	if flow != "" {
		q.Set("flow", flow)
	}
	return screen.Root + "code?" + q.Encode()
}
