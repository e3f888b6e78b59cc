// Package sender is an example of a way to send mail that Gatehouse does not come
// with: it posts each mail to a service of one's own. A build that imports it, as
// with xcaddy build --with, knows "mail post <url>" in the Caddyfile.
package sender

import (
	"bytes"
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

func init() { caddy.RegisterModule(new(Post)) }

// Post sends to a URL that takes the text of a mail.
type Post struct {
	URL string `json:"url,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Post) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.mail.post", New: func() caddy.Module { return new(Post) }}
}

// UnmarshalCaddyfile reads the line in the Caddyfile.
func (p *Post) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.Next(); !d.AllArgs(&p.URL) {
		return d.Err(`write for example "mail post https://mail.example.com/"`)
	}
	return nil
}

// NewSender implements senders.MailModule.
func (p *Post) NewSender(oauth.Keeper) (outbox.Sender, error) { return p, nil }

// Name implements outbox.Sender.
func (p *Post) Name() string { return "post" }

// Send implements outbox.Sender.
func (p *Post) Send(ctx context.Context, m outbox.Message) error {
	text, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(text))
	if err != nil {
		return err // counts as SenderDown, like every error that is no *outbox.SendError
	}
	r.Header.Set("Content-Type", "message/rfc822")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 {
		return nil
	}
	fault, reason := outbox.HTTPFault(resp.StatusCode)
	return &outbox.SendError{Fault: fault, Reason: reason}
}
