package caddymodule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

func init() { httpcaddyfile.RegisterGlobalOption("gatehouse", parseGlobal) }

// parseGlobal reads the global option. Syntax:
//
//	gatehouse {
//	    store          badger [<dir>]
//	    store          postgres <dsn>
//	    secret         <value> [<old...>]
//	    mail           smtp <host:port> { username …; password …; tls … }
//	    mail           smtp <host:port> { username …; oauth2 microsoft <tenant>|google|<token url> { client_id …; client_secret …; scope …; refresh_token …; service_account … } }
//	    mail           graph <tenant> { client_id …; client_secret …; user … }
//	    mail           gmail { service_account …; user … }
//	    mail           mailgun <domain> { api_key …; region …; base_url … }
//	    mail           log
//	    mail           dir <path>
//	    sms            twilio <account> { auth_token …; from …; base_url … }
//	    sms            webhook <url> { secret … }
//	    sms            log
//	    app            <id> { api_key …; … }
//	    from           "<name>" <address>
//	    subject_code   on|off
//	    brand          ["<name>"] { logo …; accent …; pages …; support … }
//	    group          <name> <who...>
//	    domain         <name>
//	    code           <digits> <lifetime> <attempts>
//	    session        idle <duration> max <duration>
//	    limits         { per_recipient <n> <duration> …; per_client …; global …; failures … }
//	    token          <name> { secret …; site …; path …; method …; until … }
//	    hooks          { mailgun_key … }
//	    insecure_http  on|off
//	    audit          on|full|off
//	}
//
// It may be written several times: mail and group add up, an option that there
// is only one of must not come twice.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if earlier, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(earlier.Value, app); err != nil {
			return nil, err
		}
	}
	d.Next()
	at := d.Token()
	if d.NextArg() {
		return nil, option.At(at, fmt.Errorf("the global option gatehouse takes a block and no %q; write for example\n    gatehouse {\n        mail log\n    }", d.Val()))
	}
	if err := globalWords.Read(d, app); err != nil {
		return nil, err
	}
	if err := app.checkText(); err != nil {
		return nil, option.At(at, err)
	}
	app.Files = ""
	digest, err := digestFiles(app, caddyconfig.JSON(app, nil))
	if err != nil {
		return nil, option.At(at, err)
	}
	app.Files = digest
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

var globalWords = option.Block[*App]{
	Of: "the global gatehouse block",
	Words: []option.Word[*App]{
		option.Line("store", (*App).readStore),
		option.Line("secret", (*App).readSecret),
		option.Line("mail", (*App).readMail),
		option.Line("from", (*App).readFrom),
		option.OnOff("subject_code", func(a *App) **bool { return &a.SubjectCode }),
		option.Line("brand", (*App).readBrand),
		option.Line("group", (*App).readGroup),
		option.Text("domain example.com", func(a *App) *string { return &a.Domain }, (*App).checkDomain),
		option.Text("cookie gatehouse-intern", func(a *App) *string { return &a.Cookie }, (*App).checkCookie),
		option.Line("code", (*App).readCode),
		option.Line("session", (*App).readSession),
		option.Line("limits", (*App).readLimits),
		option.Line("sms", (*App).readSMS),
		option.Line("app", (*App).readApp),
		option.Line("token", (*App).readToken),
		option.Line("hooks", (*App).readHooks),
		option.OnOff("insecure_http", func(a *App) **bool { return &a.InsecureHTTP }),
		option.Line("audit", (*App).readAudit),
	},
	Later: []string{"passkeys"},
}

func (a *App) readAudit(d *caddyfile.Dispenser) error {
	if err := option.Once("audit", a.Audit != ""); err != nil {
		return err
	}
	args, err := option.Arguments(d, 1, 1, "audit on")
	if err != nil {
		return err
	}
	a.Audit = args[0]
	return a.checkAudit()
}

func (a *App) readSecret(d *caddyfile.Dispenser) error {
	if err := option.Once("secret", a.Secret != ""); err != nil {
		return err
	}
	args, err := option.Arguments(d, 1, option.Many, "secret {file./run/secrets/gatehouse}")
	if err != nil {
		return err
	}
	for _, value := range args {
		if value == "" {
			return option.Missing("secret: one is empty", "secret {file./run/secrets/gatehouse}")
		}
	}
	a.Secret, a.OldSecrets = args[0], args[1:]
	return a.checkSecrets()
}

func (a *App) readFrom(d *caddyfile.Dispenser) error {
	if err := option.Once("from", a.From != nil); err != nil {
		return err
	}
	args, err := option.Arguments(d, 2, 2, `from "Example sign-in" <login@example.com>`)
	if err != nil {
		return err
	}
	address := args[1]
	if inner, ok := strings.CutPrefix(address, "<"); ok && strings.HasSuffix(inner, ">") {
		address = strings.TrimSuffix(inner, ">")
	}
	a.From = &From{Name: args[0], Address: address}
	return a.checkFrom()
}

func (a *App) readGroup(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, option.Many, "group staff alice@example.com *@example.org")
	if err != nil {
		return err
	}
	name := args[0]
	if a.Groups == nil {
		a.Groups = map[string][]string{}
	}
	a.Groups[name] = append(a.Groups[name], args[1:]...)
	if len(args) == 1 {
		_, err = parseWho("group "+name, nil)
		return err
	}
	_, err = a.parseGroups()
	return err
}

func (a *App) readCode(d *caddyfile.Dispenser) error {
	const try = "code 6 10m 5"
	if err := option.Once("code", a.Code != nil); err != nil {
		return err
	}
	args, err := option.Arguments(d, 3, 3, try)
	if err != nil {
		return err
	}
	a.Code = &Code{}
	if a.Code.Digits, err = number("code", args[0], try); err != nil {
		return err
	}
	if a.Code.Lifetime, err = option.Duration("code", args[1]); err != nil {
		return err
	}
	if a.Code.Attempts, err = number("code", args[2], try); err != nil {
		return err
	}
	return a.checkCode()
}

// number reads a number of at least 1.
func number(option, text, try string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s: %q is not a number of at least 1; write for example\n    %s", option, text, try)
	}
	return n, nil
}

func (a *App) readSession(d *caddyfile.Dispenser) error {
	if a.Session == nil {
		a.Session = &Session{}
	}
	if err := idleAndMax(d, &a.Session.Idle, &a.Session.Max); err != nil {
		return err
	}
	return a.checkSession()
}

// idleAndMax reads "idle <d> max <d>", each at most once and in any order.
func idleAndMax(d *caddyfile.Dispenser, idle, life *caddy.Duration) error {
	const try = "session idle 24h max 7d"
	if err := option.Once("session", *idle != 0 || *life != 0); err != nil {
		return err
	}
	args, err := option.Arguments(d, 2, 4, try)
	if err != nil {
		return err
	}
	for pair := range slices.Chunk(args, 2) {
		to := map[string]*caddy.Duration{"idle": idle, "max": life}[pair[0]]
		if to == nil || len(pair) < 2 || *to != 0 {
			return fmt.Errorf("session %s: this can't be read; write for example\n    %s", strings.Join(args, " "), try)
		}
		if *to, err = option.Duration("session: "+pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) readLimits(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return fmt.Errorf("limits takes a block and no %q; write for example\n    limits {\n        per_recipient 1 1m 5 1h 10 24h\n    }", d.Val())
	}
	if a.Limits == nil {
		a.Limits = &Limits{}
	}
	return limitWords.Read(d, a.Limits)
}

var limitWords = option.Block[*Limits]{
	Of: "limits",
	Words: []option.Word[*Limits]{
		option.Line("per_recipient", func(l *Limits, d *caddyfile.Dispenser) error { return readRates(d, &l.PerRecipient) }),
		option.Line("per_client", func(l *Limits, d *caddyfile.Dispenser) error { return readRates(d, &l.PerClient) }),
		option.Line("global", func(l *Limits, d *caddyfile.Dispenser) error { return readRates(d, &l.Global) }),
		option.Line("failures", func(l *Limits, d *caddyfile.Dispenser) error { return readRates(d, &l.Failures) }),
	},
}

// readRates reads pairs of a number and a duration.
func readRates(d *caddyfile.Dispenser, rates *[]Rate) error {
	name := d.Val()
	try := name + " 5 1h 10 24h"
	if err := option.Once("limits: "+name, *rates != nil); err != nil {
		return err
	}
	args, err := option.Arguments(d, 2, option.Many, try)
	if err != nil {
		return err
	}
	if len(args)%2 != 0 {
		return fmt.Errorf("%s: numbers and durations come in pairs; write for example\n    %s", name, try)
	}
	for i := 0; i < len(args); i += 2 {
		var rate Rate
		if rate.Count, err = number(name, args[i], try); err != nil {
			return err
		}
		if rate.Per, err = option.Duration(name, args[i+1]); err != nil {
			return err
		}
		*rates = append(*rates, rate)
	}
	return nil
}
