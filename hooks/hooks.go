package hooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// root is where all hooks stand.
const root = "/_gatehouse/hooks/"

// Config is what hooks are made of.
type Config struct {
	MailgunKey string // Mailgun's HTTP webhook signing key; empty: Mailgun's is not there
	Take       func(context.Context, delivery.Report) (delivery.Taken, error)
	Now        func() time.Time
	Log        *slog.Logger
}

// Hooks serves them. It is safe for concurrent use.
type Hooks struct {
	Config
	complained atomic.Int64 // unix seconds of the last line about a signature
}

// New makes the hooks of a configuration.
func New(c Config) *Hooks { return &Hooks{Config: c} }

// refusal is why a report is not taken.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// What can be wrong with a report. Mailgun sends one again after any answer but 200
// and 406.
var (
	errForged   = &refusal{http.StatusForbidden, "the signature is not that of the configured key"}
	errStale    = &refusal{http.StatusNotAcceptable, "the report is not from the last five minutes"}
	errAgain    = &refusal{http.StatusNotAcceptable, "the report was taken before"}
	errUnlike   = &refusal{http.StatusBadRequest, "the body is not a report as Mailgun sends it"}
	errTooLarge = &refusal{http.StatusRequestEntityTooLarge, "the body is too large"}
	errCut      = &refusal{http.StatusRequestTimeout, "the body did not arrive"}
)

// fresh is how far a report's time may be from now.
const fresh = 5 * time.Minute

// ServeHTTP answers a request whose path begins with root.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	web.NoStore(w.Header())
	if r.URL.Path != root+"mailgun" || h.MailgunKey == "" {
		h.answer(w, r, http.StatusNotFound, "error", "there is no such hook")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.answer(w, r, http.StatusMethodNotAllowed, "error", "this path takes POST")
		return
	}
	body, err := web.ReadBody(w, r, web.BodyTime)
	result := ""
	switch {
	case errors.Is(err, web.ErrTooLarge):
		err = errTooLarge
	case err != nil:
		err = errCut
	default:
		result, err = h.mailgun(r.Context(), body)
	}
	no := new(refusal)
	switch {
	case err == nil:
		h.answer(w, r, http.StatusOK, "result", result)
	case errors.As(err, &no):
		if no == errForged {
			h.complain()
		}
		h.answer(w, r, no.status, "error", no.text)
	default:
		h.Log.Error("a report about a mail can't be taken down; it is sent again later", "error", err)
		w.Header().Set("Retry-After", "60")
		h.answer(w, r, http.StatusServiceUnavailable, "error", "it can't be taken down now")
	}
}

func (h *Hooks) answer(w http.ResponseWriter, r *http.Request, status int, name, text string) {
	_ = web.JSON(w, r, status, map[string]string{name: text}) // who is gone needs no answer
}

// complain logs a wrong signature, once a minute: anybody can send one.
func (h *Hooks) complain() {
	now, last := h.Now().Unix(), h.complained.Load()
	if now-last < 60 && now >= last || !h.complained.CompareAndSwap(last, now) {
		return
	}
	h.Log.Warn("a report to " + root + "mailgun is not signed with mailgun_key: somebody tries, or the key is not the HTTP webhook signing key that Mailgun shows for the account")
}

// take takes a report down.
func (h *Hooks) take(ctx context.Context, r delivery.Report) (string, error) {
	switch taken, err := h.Take(ctx, r); {
	case err != nil:
		return "", err
	case taken == delivery.Again:
		return "", errAgain
	case taken == delivery.Foreign:
		return "not about a mail of ours", nil
	}
	return "noted", nil
}
