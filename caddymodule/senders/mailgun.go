package senders

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// Mailgun sends through the HTTP API of Mailgun.
type Mailgun struct {
	// Domain is the sending domain registered there.
	Domain string `json:"domain,omitempty"`
	// APIKey takes {env.NAME} and {file./path}.
	APIKey string `json:"api_key,omitempty"`
	// Region is us or eu: where the domain was registered. Default: us.
	Region string `json:"region,omitempty"`
	// BaseURL replaces the address of the API, for a proxy or a test server.
	BaseURL string `json:"base_url,omitempty"`
}

// UnmarshalCaddyfile reads "mailgun <domain>" and its block.
func (g *Mailgun) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "mail mailgun mg.example.com")
	if err != nil {
		return err
	}
	g.Domain = args[0]
	return readAll(d, g, mailgunWords)
}

var mailgunWords = option.Block[*Mailgun]{
	Of: "mail mailgun",
	Words: []option.Word[*Mailgun]{
		option.Text("api_key {file./run/secrets/mailgun}", func(g *Mailgun) *string { return &g.APIKey }),
		option.Text("region eu", func(g *Mailgun) *string { return &g.Region }),
		option.Text("base_url https://api.eu.mailgun.net/v3", func(g *Mailgun) *string { return &g.BaseURL }),
	},
}

// CaddyModule returns the Caddy module information.
func (*Mailgun) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".mailgun", New: func() caddy.Module { return new(Mailgun) }}
}

// Validate finds out what is wrong without the machine.
func (g *Mailgun) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Mailgun) NewSender(oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{}) }

func (g *Mailgun) sender(on *outside) (outbox.Sender, error) {
	key, err := on.expand("mail mailgun "+g.Domain+": api_key", g.APIKey)
	if err != nil {
		return nil, err
	}
	return mailgun.New(mailgun.Config{
		Domain: g.Domain, APIKey: outbox.Credential(key), Region: g.Region, BaseURL: g.BaseURL,
	})
}
