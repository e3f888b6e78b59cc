package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

func init() { caddy.RegisterModule(new(Provider)) }

// Provider tells Caddy's authentication handler who is signed in at the host of
// a request: whoever holds a live session there. It has no policy of its own,
// shows no sign-in pages and sets no headers; a gate does all three. The user's
// id is the email address; email, sub, name, groups, sid and amr are metadata.
type Provider struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.authentication.providers.gatehouse", New: func() caddy.Module { return new(Provider) }}
}

// Provision joins the provider to the app.
func (p *Provider) Provision(ctx caddy.Context) (err error) {
	p.app, err = theApp(ctx)
	return err
}

// Authenticate implements caddyauth.Authenticator. An error means that it can't
// be told who the visitor is.
func (p *Provider) Authenticate(w http.ResponseWriter, r *http.Request) (caddyauth.User, bool, error) {
	session, groups, err := p.app.house.Who(w, r)
	if err != nil || session == nil {
		return caddyauth.User{}, false, err
	}
	return user(session, groups), true, nil
}

func user(s *session.Session, groups []string) caddyauth.User {
	email := s.Address.String()
	return caddyauth.User{ID: email, Metadata: map[string]string{
		"email": email, "sub": s.Subject, "name": header.Value(s.Name), "groups": strings.Join(groups, ","),
		"sid": s.ID, "amr": strings.Join(s.AMR, ","),
	}}
}

// Interface guards
var (
	_ caddy.Provisioner       = (*Provider)(nil)
	_ caddyauth.Authenticator = (*Provider)(nil)
)
