package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// statusJSON is the answer of GET /gatehouse/status.
type statusJSON struct {
	Version   string       `json:"version"`
	Sessions  int64        `json:"sessions"`
	People    int64        `json:"people"`
	CountedAt *time.Time   `json:"counted_at"` // null until the first count
	Streams   int          `json:"streams"`
	Mail      mailJSON     `json:"mail"`
	Texts     []senderJSON `json:"sms,omitempty"`
	Store     storeJSON    `json:"store"`
	Keys      []keyJSON    `json:"keys"`
	Gates     []gateJSON   `json:"gates"`
	Findings  []findingOut `json:"findings,omitempty"`
	Snippet   string       `json:"snippet,omitempty"` // with ?proxy=: its configuration
}

type mailJSON struct {
	Waiting int          `json:"waiting"`
	Down    bool         `json:"down"`
	Delayed bool         `json:"delayed"` // no sender is fit
	Senders []senderJSON `json:"senders"`
}

type senderJSON struct {
	Name     string     `json:"name"`
	Down     bool       `json:"down"`
	Unfit    bool       `json:"unfit"` // refuses mail to everybody, it seems
	LastSent *time.Time `json:"last_sent"`
	LastFail *time.Time `json:"last_failed"`
	Reason   string     `json:"reason,omitempty"` // of the last failure
}

type storeJSON struct {
	Dir       string `json:"dir"`
	SizeBytes int64  `json:"size_bytes"`
	FreeBytes int64  `json:"free_bytes"`
	Error     string `json:"error,omitempty"` // why nothing can be written
}

type keyJSON struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created_at"`
	Signs   bool      `json:"signs"`
}

type gateJSON struct {
	At         string `json:"at"`
	ReportOnly bool   `json:"report_only,omitempty"`
}

// adminStatus also runs the doctor's checks with ?doctor=true, and with
// ?proxy=nginx and the like writes that proxy's configuration.
func adminStatus(c *adminCall) error {
	out := c.status()
	if proxy := c.r.URL.Query().Get("proxy"); proxy != "" {
		snippet, err := c.app.proxySnippet(proxy)
		if err != nil {
			return refuseCall(http.StatusNotFound, "%w", err)
		}
		out.Snippet = snippet
	}
	if c.r.URL.Query().Get("doctor") == "true" {
		out.Findings = c.examine()
	}
	return c.json(out)
}

func (c *adminCall) status() statusJSON {
	s, health := c.run.core.Status(), c.app.storeHealth()
	out := statusJSON{
		Version: version(), Sessions: s.Sessions, People: s.People, CountedAt: moment(s.CountedAt), Streams: s.Streams,
		Mail:  mailJSON{Waiting: s.MailWaiting, Down: s.MailDown, Delayed: s.MailDelayed, Senders: []senderJSON{}},
		Store: storeJSON{Dir: c.app.storeName(), SizeBytes: health.SizeBytes, FreeBytes: health.FreeBytes},
		Keys:  []keyJSON{}, Gates: []gateJSON{},
	}
	if health.Err != nil {
		out.Store.Error = health.Err.Error()
	}
	out.Mail.Senders, out.Texts = append(out.Mail.Senders, sendersJSON(s.Senders)...), sendersJSON(s.Texts)
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, keyJSON{k.ID, k.Alg, k.Created.UTC(), k.Signs})
	}
	for _, g := range c.app.allGates() {
		out.Gates = append(out.Gates, gateJSON{g.String(), g.ReportOnly})
	}
	return out
}

func sendersJSON(list []authcore.SenderStatus) (out []senderJSON) {
	for _, s := range list {
		out = append(out, senderJSON{s.Name, s.Down, s.Unfit, moment(s.SentAt), moment(s.Failed), s.Reason})
	}
	return out
}

// moment is a time for JSON, nil for never.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func adminRotate(c *adminCall) error {
	in := struct {
		Revoke bool `json:"revoke"`
	}{c.r.URL.Query().Get("revoke") == "true"}
	if err := c.read(&in); err != nil {
		return err
	}
	out, err := c.run.core.RotateKeys(c.r.Context(), in.Revoke)
	if err != nil {
		return err
	}
	action := "rotate_keys"
	if in.Revoke {
		action = "revoke_keys"
	}
	c.audit(action, nil, "")
	return c.json(map[string]any{"kid": out.Key, "revoked": in.Revoke})
}

func adminExport(c *adminCall) error {
	keys := c.r.URL.Query().Get("keys") == "true"
	c.audit("export", nil, keysWord(keys))
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	if _, err := c.run.core.Export(c.r.Context(), c.w, keys); err != nil {
		// What was sent lacks its end, by which whoever reads it knows; and
		// the connection breaks instead of ending as if all were well.
		c.app.log.Error("an export was cut off: " + err.Error())
		panic(http.ErrAbortHandler)
	}
	return nil
}

func keysWord(keys bool) string {
	if keys {
		return "with_keys"
	}
	return ""
}

// adminImport keeps the lines in a file until they are checked: the file can be
// far larger than memory.
func adminImport(c *adminCall) error {
	spool, err := os.CreateTemp("", "gatehouse-import-*")
	if err != nil {
		return err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	if _, err := io.Copy(spool, c.r.Body); err != nil {
		return refuseCall(http.StatusBadRequest, "the lines did not arrive whole; nothing was changed")
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	done, err := c.run.core.Import(c.r.Context(), spool)
	if refused := new(authcore.ImportError); errors.As(err, &refused) {
		if refused.Applied > 0 {
			return refuseCall(http.StatusConflict, "%s; the %d lines before it are taken over", refused, refused.Applied)
		}
		return refuseCall(http.StatusBadRequest, "%s; nothing was changed", refused)
	}
	if err != nil {
		return err
	}
	c.audit("import", nil, "")
	return c.json(done)
}
