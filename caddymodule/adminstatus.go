package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

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

func (c *adminCall) status() operate.Status {
	s, health := c.run.core.Status(), c.app.storeHealth()
	out := operate.Status{
		Version: version(), Sessions: s.Sessions, People: s.People, CountedAt: moment(s.CountedAt), Streams: s.Streams,
		Mail:  operate.MailStatus{Waiting: s.MailWaiting, Down: s.MailDown, Delayed: s.MailDelayed, Senders: []operate.SenderStatus{}},
		Store: operate.StoreStatus{Dir: c.app.storeName(), SizeBytes: health.SizeBytes, FreeBytes: health.FreeBytes},
		Keys:  []operate.KeyStatus{}, Gates: []operate.GateStatus{},
	}
	if health.Err != nil {
		out.Store.Error = health.Err.Error()
	}
	out.Mail.Senders, out.Texts = append(out.Mail.Senders, sendersJSON(s.Senders)...), sendersJSON(s.Texts)
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, operate.KeyStatus{ID: k.ID, Alg: k.Alg, Created: k.Created.UTC(), Signs: k.Signs})
	}
	for _, g := range c.app.allGates() {
		out.Gates = append(out.Gates, operate.GateStatus{At: g.String(), ReportOnly: g.ReportOnly})
	}
	return out
}

func sendersJSON(list []authcore.SenderStatus) (out []operate.SenderStatus) {
	for _, s := range list {
		out = append(out, operate.SenderStatus{Name: s.Name, Down: s.Down, Unfit: s.Unfit, LastSent: moment(s.SentAt), LastFail: moment(s.Failed), Reason: s.Reason})
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
	out, err := c.run.core.Keys().Rotate(c.r.Context(), in.Revoke)
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
