package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/caddymodule/senders"
	"github.com/gatehouse-auth/gatehouse/oidc"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

func init() { caddy.RegisterModule(new(App)) }

// App is Gatehouse: sign-in by email for the sites of this server. It holds
// what all gates share: the store, the secret, how mail is sent, groups of
// people, and limits. Gates are put in front of sites with the http handler
// gatehouse.
type App struct {
	// Store says where sessions, people and waiting mail are kept. Default:
	// Badger in the directory gatehouse in Caddy's data directory.
	Store *Store `json:"store,omitempty"`
	// Secret is the master key, at least 32 bytes: codes and links are derived
	// from it, and signing keys in the store are wrapped with it. Takes
	// {env.NAME} and {file./path}. Default: one is made for a new store and
	// kept in Caddy's storage, apart from the store.
	Secret string `json:"secret,omitempty"`
	// OldSecrets are the secrets used before, so that changing the secret
	// spoils neither keys nor mails under way. Same form as Secret.
	OldSecrets []string `json:"old_secrets,omitempty"`
	// MailRaw lists the ways to send mail, tried in this order. At least one.
	MailRaw []json.RawMessage `json:"mail,omitempty" caddy:"namespace=gatehouse.mail inline_key=sender"`
	// From is the sender of the mails. Required, except where mail goes only
	// to the log or to a directory.
	From *From `json:"from,omitempty"`
	// SubjectCode puts the code first in the subject of a mail. Default: true.
	SubjectCode *bool `json:"subject_code,omitempty"`
	// Brand is how pages and mails present the site.
	Brand *Brand `json:"brand,omitempty"`
	// Groups are named lists of people, for use in gates. An entry is an
	// address, *@domain, another group, file:/path or any.
	Groups map[string][]string `json:"groups,omitempty"`
	// Domain makes one session good for all hosts under this domain. Default:
	// each host has sessions of its own.
	Domain string `json:"domain,omitempty"`
	// Cookie is the base name of Gatehouse's cookies, for an instance that shares a
	// host or a domain with another one. Apps see none of them, nor those with the
	// default name or one that begins with gatehouse-. Default: gatehouse.
	Cookie string `json:"cookie,omitempty"`
	// Code is the form of codes. Default: 6 digits, 10 minutes, 5 attempts.
	Code *Code `json:"code,omitempty"`
	// Session limits browser sessions. Default: 24 hours idle, 7 days in all.
	Session *Session `json:"session,omitempty"`
	// Limits bounds sign-ins, mails and wrong codes.
	Limits *Limits `json:"limits,omitempty"`
	// InsecureHTTP allows sign-in over plain http elsewhere than on localhost.
	// Default: false.
	InsecureHTTP *bool `json:"insecure_http,omitempty"`
	// SMSRaw lists the ways to send text messages, tried in this order. Default:
	// none, and codes go by mail.
	SMSRaw []json.RawMessage `json:"sms,omitempty" caddy:"namespace=gatehouse.sms inline_key=sender"`
	// Apps are the clients of the JSON APIs and of the OpenID provider.
	Apps []*AppClient `json:"apps,omitempty"`
	// Tokens are machine clients.
	Tokens []*Token `json:"tokens,omitempty"`
	// Hooks is what mail systems may tell of mails that they took. Default: none.
	Hooks *Hooks `json:"hooks,omitempty"`
	// Audit says how much the audit log (the logger gatehouse.audit) holds: on
	// (addresses are masked), full (they are not) or off. Default: on.
	Audit string `json:"audit,omitempty"`
	// Files is a digest of the files that this configuration names, such as logo and
	// templates. The Caddyfile's adapter writes it, so that a reload takes up what
	// has changed in them. Nothing reads it. In JSON leave it out, and reload with
	// --force.
	Files string `json:"files,omitempty"`

	ctx     caddy.Context
	log     *zap.Logger
	mail    []senders.MailModule
	sms     []senders.SMSModule
	lists   *policy.Lists
	groups  *policy.Groups
	look    *screen.Look // of pages and mails; set by start
	gates   []*Gate
	authzs  []*Authz
	portals []*Portal
	apis    []*API
	clients []*grant.Client     // of the OpenID provider; set by start
	servers []*caddyhttp.Server // whose requests carry their connection
	// neighbours are what the hosts of portals serve besides; set by start.
	neighbours map[string][]string
	// sharedWith are the origins that the hosts of portals let read their answers.
	sharedWith map[string]string

	walk              *routes.Walk     // set by Start
	uncleaned, around []routes.Finding // set by Start

	emitting    sync.RWMutex // held to write when the emitter ends
	emitter     atomic.Pointer[emitter]
	open        *openStore // set by start
	mailSenders []outbox.Sender
	keeper      keeper
	listStates  listStates
	house       gate.House        // of all handlers; opened by Start
	instance    *operate.Instance // set by Start
	releases    []func()          // what Start took, to be given back in reverse
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision reads the configuration. It touches nothing of the machine, so
// that validate works offline and beside a running server.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log = ctx, ctx.Logger(a)
	if err := metrics.Register(ctx.GetMetricsRegistry(), scraped); err != nil {
		return err
	}
	if err := a.loadSenders(ctx); err != nil {
		return err
	}
	a.house.Log = ctx.Slogger()
	a.furnish()
	a.lists = policy.NewLists(a.observeList)
	groups, err := a.parseGroups()
	if err != nil {
		return err
	}
	a.groups, err = newGroups(groups, a.lists)
	return err
}

// Validate checks every option that can be checked without the machine.
func (a *App) Validate() error { return a.check() }

// Start opens the store and puts this configuration into use. The one that was
// in use before stays until its Cleanup.
func (a *App) Start() error {
	if err := a.start(); err != nil {
		a.house.Open(nil)
		a.release()
		metrics.Reloaded("failed")
		return err
	}
	return nil
}

func (a *App) start() error {
	a.releases = append(a.releases, a.closeSenders)
	p, err := a.prepare()
	if err != nil {
		return err
	}
	a.listStates.begin(a.lists.Paths())
	core, err := a.openCore(p)
	if err != nil {
		return err
	}
	a.keeper.core.Store(core)
	if p.service.Composer, err = p.composer(); err != nil {
		return err
	}
	service := core.Use(p.service)
	a.releases = append(a.releases, service.Close)
	var provider *oidc.Handler
	site, err := pages.New(pages.Config{
		Service: service, Groups: a.groups, Look: a.look, Log: a.ctx.Slogger(), Open: a.isOpen(), Sites: a.mayOpen, Opens: a.opens, Passes: a.passes, Cookies: a.house.Cookies,
		Asker: func(path string) screen.Asker {
			if provider == nil {
				return screen.Asker{}
			}
			return provider.Asker(path)
		},
	})
	if err != nil {
		return err
	}
	provider = a.newProvider(service, site)
	calls := a.newAPI(service, site, p.passwords)
	a.openHooks(service, p.hooksKey)
	a.runLists()
	a.startEmitter()
	a.instance = a.operated(service, core)
	a.house.Open(&gate.Running{
		Service: service, Core: core, Pages: site, API: calls, OIDC: provider, Groups: a.groups, Lists: a.lists,
		Domain: a.Domain, InsecureHTTP: a.insecureHTTP(),
	})
	a.enter()
	a.log.Info(a.instance.Opening())
	return nil
}

// preparation is what a start has, and validate looks for, before the store is opened.
type preparation struct {
	store     string           // its DSN or directory
	secrets   []keyring.Secret // those that are written
	service   authcore.Config  // but for the composer
	composer  func() (outbox.Composer, error)
	passwords reflex.Options
	hooksKey  string
}

// prepare reads what this machine has of the configuration, and finds where
// everything stands. What it refuses can't be started.
func (a *App) prepare() (p preparation, err error) {
	look := a.readLook()
	p.composer = func() (outbox.Composer, error) {
		if err := look(); err != nil {
			return nil, err
		}
		return a.composer()
	}
	if p.store, err = a.storePlace(); err != nil {
		return p, err
	}
	if p.secrets, err = a.writtenSecrets(); err != nil {
		return p, err
	}
	if p.service, err = a.serviceConfig(); err != nil {
		return p, err
	}
	a.mailSenders = p.service.Senders
	if err := a.lists.Load(a.usersOfList); err != nil {
		return p, fmt.Errorf("reading the lists of people: %w", err)
	}
	if err := a.placeGates(); err != nil {
		return p, err
	}
	if p.hooksKey, err = a.hooksKey(); err != nil {
		return p, err
	}
	p.passwords, err = reflex.OptionsFromEnv(os.Getenv)
	return p, err
}

// readLook begins to read templates and catalogs, which takes about as long as
// opening the store, and returns what waits for them.
func (a *App) readLook() func() error {
	type result struct {
		look *screen.Look
		err  error
	}
	read := make(chan result, 1)
	go func() {
		look, err := screen.NewLook(a.Brand.look())
		read <- result{look, err}
	}()
	return func() error {
		r := <-read
		if a.look = r.look; r.err != nil {
			return r.err
		}
		a.look.Sites(a.site)
		return a.loadIcons()
	}
}

// closeSenders ends what senders keep between mails.
func (a *App) closeSenders() {
	for _, sender := range a.mailSenders {
		if closer, ok := sender.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}

// runLists follows the lists of people until release.
func (a *App) runLists() {
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { a.lists.Run(ctx) })
	a.releases = append(a.releases, func() { stop(); done.Wait() })
}

// Stop notes that another configuration is in use now, or none. Requests are
// still being answered while the http app stops, and they need the store:
// Cleanup comes after all apps have stopped.
func (a *App) Stop() error {
	a.house.Replace()
	return nil
}

// Cleanup gives up what Start took. Caddy also calls it after a failed
// Provision, and without Stop when another app failed late.
func (a *App) Cleanup() error {
	a.house.Settle()
	a.release()
	return nil
}

// release gives back what Start took, once.
func (a *App) release() {
	for i := len(a.releases) - 1; i >= 0; i-- {
		a.releases[i]()
	}
	a.releases = nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
