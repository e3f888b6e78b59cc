package authcore_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

// BenchmarkSignIn compares a sign-in at a gate with one for an app: each is two
// transactions, so an app must not be slower.
func BenchmarkSignIn(b *testing.B) {
	var n atomic.Int64
	free := func(h *house) {
		h.service.Close()
		h.config.Limits = limit.Limits{Failures: limit.Default().Failures}
		h.service = h.core.Use(h.config)
	}
	next := func() address.Address { return mustAddress(fmt.Sprintf("p%d@example.com", n.Add(1))) }
	b.Run("gate", func(b *testing.B) {
		h := newHouse(b)
		free(h)
		defer h.close()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				browser := h.browser().Browser
				in := authcore.Start{Address: next()}
				begun, err := h.service.Flows().Begin(b.Context(), browser, in)
				for begun.Verdict == event.MailDown && err == nil { // the queue is full
					runtime.Gosched()
					begun, err = h.service.Flows().Begin(b.Context(), browser, in)
				}
				if err != nil || begun.Verdict != event.Accepted {
					b.Error(begun.Verdict, err)
					return
				}
				browser.Flow = begun.FlowCookie
				flow, err := h.service.Flows().Flow(b.Context(), browser, "")
				if err != nil {
					b.Error(err)
					return
				}
				code := h.secrets.Current.CodeFor(flow.Challenge, flow.Digits)
				if out, err := h.service.Flows().AnswerCode(b.Context(), browser, "", code); err != nil || out.Verdict != event.Accepted {
					b.Error(out.Verdict, err)
				}
			}
		})
	})
	b.Run("app", func(b *testing.B) {
		h, _ := newAppHouse(b)
		free(h)
		defer h.close()
		caller := h.caller(liveKey)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				in := CodeFor(next())
				in.Caller, in.Origin, in.Repeat = caller, site, nil
				asked, err := h.service.Apps().Ask(b.Context(), in)
				for asked.Verdict == event.MailDown && err == nil {
					runtime.Gosched()
					asked, err = h.service.Apps().Ask(b.Context(), in)
				}
				if err != nil || asked.Verdict != event.Accepted {
					b.Error(asked.Verdict, err)
					return
				}
				out, err := h.service.Apps().Prove(b.Context(), apps.Proof{Caller: caller, Slot: in.Slot, Contact: asked.Contact.ID, Code: asked.Code, Session: week, Origin: site})
				if err != nil || out.Verdict != event.Accepted {
					b.Error(out.Verdict, err)
				}
			}
		})
	})
}
