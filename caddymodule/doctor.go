package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// examineTimeout bounds the checks that ask the network. They run side by side.
const examineTimeout = 15 * time.Second

// doctorDNS is the machine's own; tests have another.
var doctorDNS resolver = net.DefaultResolver

// examine runs all checks.
func (c *adminCall) examine() []operate.Finding {
	ctx, cancel := context.WithTimeout(c.r.Context(), examineTimeout)
	defer cancel()
	checks := []func() []operate.Finding{
		c.app.examineConfig, c.app.examineAround, c.app.examineCleaning, c.app.examineLists, c.app.examineDomain, c.app.examineAccount, c.app.examineProxies, c.examineStore, c.examineClock,
		func() []operate.Finding { return c.app.examineDNS(ctx, doctorDNS) },
		func() []operate.Finding { return c.app.examineSenders(ctx) },
	}
	results := make([][]operate.Finding, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { results[i] = check() })
	}
	all.Wait()
	var findings []operate.Finding
	for _, r := range results {
		findings = append(findings, r...)
	}
	return findings
}

// examineConfig looks for what is right for trying out and wrong for the rest.
func (a *App) examineConfig() []operate.Finding {
	var out []operate.Finding
	add := func(level, found, do string) {
		out = append(out, operate.Finding{Check: "configuration", Level: level, Found: found, Do: do})
	}
	for _, m := range a.Mail {
		if m.Log != nil {
			add(operate.LevelWarning, "mail log shows codes and links on the terminal", "write mail smtp or mail mailgun before people sign in: whoever reads the terminal can sign in as anybody")
		}
		if m.Dir != nil {
			add(operate.LevelWarning, "mail dir writes codes and links into files", "write mail smtp or mail mailgun before people sign in")
		}
		if m.SMTP != nil && m.SMTP.TLS == "off" && !isLocal(m.SMTP.Address) {
			add(operate.LevelWarning, "mail smtp "+m.SMTP.Address+" sends codes in clear over the network", "take tls off out; the server has to offer STARTTLS")
		}
	}
	if a.insecureHTTP() {
		add(operate.LevelWarning, "insecure_http lets people sign in over plain http", "take it out once the sites have certificates: whoever listens gets the sessions")
	}
	if a.Audit == auditOff {
		add(operate.LevelNote, "the audit log is off", "take audit off out, to be able to tell later who signed in")
	}
	for _, g := range a.gates {
		if g.ReportOnly {
			add(operate.LevelWarning, "the gate at "+g.String()+" is report_only and stops nobody", "take report_only out once its log shows what you expect")
		}
	}
	if len(a.allGates()) == 0 {
		add(operate.LevelWarning, "no gate stands anywhere, so nothing is protected", "write gatehouse and who may pass in a site")
	}
	if out == nil {
		return []operate.Finding{operate.Fine("configuration", "%d gates, nothing to say", len(a.allGates()))}
	}
	return out
}

// examineAround tells which handlers get requests that are led around a gate for
// a path.
func (a *App) examineAround() []operate.Finding {
	const check = "paths"
	var out []operate.Finding
	for _, f := range a.around {
		out = append(out, operate.Warning(check, f.found, f.do))
	}
	if out == nil {
		return []operate.Finding{operate.Fine(check, "no matcher leads around a gate for a path")}
	}
	return out
}

// examineCleaning tells which handlers beside the gates get requests as
// strangers send them.
func (a *App) examineCleaning() []operate.Finding {
	const check = "cleaning"
	var out []operate.Finding
	for _, u := range a.uncleaned {
		out = append(out, operate.Warning(check, u.found, u.do))
	}
	if out == nil {
		return []operate.Finding{operate.Fine(check, "no app on a gated host gets identity headers or cookies past the gates")}
	}
	return out
}

// examineLists looks at the files of people.
func (a *App) examineLists() []operate.Finding {
	const check = "lists"
	var out []operate.Finding
	all := a.listStates.all()
	for _, path := range slices.Sorted(maps.Keys(all)) {
		list := all[path]
		switch list.State {
		case policy.ListBadLines:
			out = append(out, operate.Error(check, fmt.Sprintf("%s, line %d: %s (%d such lines in all)", path, list.Bad[0].Line, list.Bad[0].Problem, list.BadLines),
				"mend it: such a line admits nobody"))
		case policy.ListHeld, policy.ListRefused:
			out = append(out, operate.Error(check, path+" can't be read: "+list.Problem,
				"put it back, readable for the user that the server runs as: a minute after it is gone it admits nobody"))
		default:
			out = append(out, operate.Fine(check, "%s is in force", path))
		}
	}
	return out
}

// examineDomain compares the cookie's domain with the public suffix list.
func (a *App) examineDomain() []operate.Finding {
	const check = "cookie_domain"
	if a.Domain == "" {
		return []operate.Finding{operate.Fine(check, "each host has sessions of its own")}
	}
	suffix, icann := publicsuffix.PublicSuffix(a.Domain)
	if suffix == a.Domain {
		return []operate.Finding{operate.Error(check, a.Domain+" is a public suffix: anybody can have a host under it", "write a domain of your own")}
	}
	out := []operate.Finding{operate.Note(check, "every host under "+a.Domain+" gets the session cookie, also those that no gate guards", "give no host under it to people you don't trust with everybody's session")}
	if !icann && strings.Contains(suffix, ".") {
		out = append(out, operate.Fine(check, "%s lies under the private suffix %s", a.Domain, suffix))
	}
	for _, g := range a.gates {
		for _, host := range g.place.hosts {
			if name := strings.TrimPrefix(host, "*."); name != a.Domain && !strings.HasSuffix(name, "."+a.Domain) {
				out = append(out, operate.Note(check, host+" is not under "+a.Domain+" and has sessions of its own", "right if people shall sign in there apart; else give it a name under "+a.Domain))
			}
		}
	}
	return out
}

// examineProxies looks at whom Caddy believes about client addresses.
func (a *App) examineProxies() []operate.Finding {
	app, err := a.httpApp()
	if err != nil || app == nil {
		return nil
	}
	var out []operate.Finding
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		out = append(out, examineServer(name, app.Servers[name], a.believesNoAsker(name, app.Servers[name])))
	}
	return out
}

// examineServer looks at one server; deaf: a gatehouse_authz in it refuses all.
func examineServer(name string, server *caddyhttp.Server, deaf bool) operate.Finding {
	const check = "trusted_proxies"
	listen := strings.Join(server.Listen, " ")
	switch {
	case deaf:
		return operate.Error(check, fmt.Sprintf("server %s (%s) believes no proxy, so that its gatehouse_authz refuses every question", name, listen),
			"write in the global options, with the addresses of the proxies that ask\n    "+trustBlock(strings.Join(server.Listen[:min(1, len(server.Listen))], "")))
	case !trustsSomebody(server):
		return operate.Note(check, fmt.Sprintf("server %s (%s) believes nobody about client addresses", name, listen),
			"right if clients connect to it directly; behind a proxy or load balancer write servers { trusted_proxies static <its networks> }, or all clients count as one")
	case trustsEverybody(server):
		return operate.Error(check, fmt.Sprintf("server %s (%s) believes everybody about client addresses", name, listen),
			"name only the networks of your own proxies in trusted_proxies: anybody can write the X-Forwarded-For that passes client_ip and limits")
	case readsFromTheLeft(server):
		return operate.Warning(check, fmt.Sprintf("server %s (%s) takes the first address in X-Forwarded-For for the client's", name, listen),
			"write trusted_proxies_strict beside trusted_proxies: behind a proxy that adds to the header anybody can write the first address, and get around limits and client_ip")
	}
	return operate.Fine(check, "server %s (%s) believes the proxies that are listed", name, listen)
}

func (c *adminCall) examineStore() []operate.Finding {
	const check = "store"
	health := c.app.storeHealth()
	if health.Err != nil {
		return []operate.Finding{operate.Error(check, "nothing can be written: "+health.Err.Error(), "free room on the disk, or see to it, then restart if it does not recover by itself")}
	}
	out := []operate.Finding{operate.Fine(check, "%s takes %s, %s are free", c.app.storeName(), operate.Bytes(health.SizeBytes), operate.Bytes(health.FreeBytes))}
	if health.FreeBytes > 0 && health.FreeBytes < 1<<30 {
		out[0].Level, out[0].Do = operate.LevelWarning, "less than 1 GB is free: when the disk is full nobody can sign in"
	}
	if s := c.run.core.Status(); s.MailDown {
		out = append(out, operate.Error("mail", fmt.Sprintf("no sender takes mail, %d wait; sign-ins are refused", s.MailWaiting), "see to the senders below"))
	}
	return append(out, c.examineMail()...)
}

// examineMail tells how mail has gone so far.
func (c *adminCall) examineMail() (out []operate.Finding) {
	s := c.run.core.Status()
	for _, sender := range s.Senders {
		if sender.Unfit {
			out = append(out, operate.Error("mail", fmt.Sprintf("%s refused mail to several domains in a row and took none: %s", sender.Name, sender.Reason),
				"do what its answer asks for; most often it must be told to relay for the address in from, or to accept this machine"))
		}
	}
	if s.MailDelayed {
		out = append(out, operate.Error("mail", fmt.Sprintf("no sender takes mail, as it seems, %d wait; pages say that mail is delayed", s.MailWaiting), "see to the senders, or write a second mail line: it is tried when the first one refuses"))
	}
	return out
}

// examineClock asks the kernel, and the store whether time has gone back.
func (c *adminCall) examineClock() []operate.Finding {
	const check = "clock"
	now := c.run.service.Now()
	for _, key := range c.run.core.Status().Keys {
		if key.Created.After(now.Add(time.Minute)) {
			return []operate.Finding{operate.Error(check, fmt.Sprintf("it is %s by this clock, but a signing key was made at %s", now.UTC().Format(time.RFC3339), key.Created.UTC().Format(time.RFC3339)), "set the clock; sessions begun before are refused until then")}
		}
	}
	if synced, known := clockSynced(); known && !synced {
		return []operate.Finding{operate.Warning(check, "the kernel says that nothing keeps this clock right", "run an NTP client such as systemd-timesyncd or chrony; codes and sessions hang on the time")}
	} else if !known {
		return []operate.Finding{operate.Note(check, "whether something keeps this clock right can't be told here", "compare: it is "+now.UTC().Format(time.RFC3339))}
	}
	return []operate.Finding{operate.Fine(check, "the kernel says that it is kept right")}
}

// examineSenders shakes hands with the senders that can, without sending.
func (a *App) examineSenders(ctx context.Context) []operate.Finding {
	var out []operate.Finding
	for _, sender := range a.mailSenders {
		prober, can := sender.(interface{ Check(context.Context) error })
		if !can {
			out = append(out, operate.Note("sender", sender.Name()+" can only be tried by sending", "gatehouse test-email you@example.com"))
			continue
		}
		if err := prober.Check(ctx); err != nil {
			out = append(out, operate.Error("sender", sender.Name()+": "+reasonOf(err), "compare address, tls, username and password with what your mail provider says"))
			continue
		}
		if !strings.HasPrefix(sender.Name(), "smtp ") {
			out = append(out, operate.Fine("sender", "%s: there is a token; that it may send, only gatehouse test-email tells", sender.Name()))
			continue
		}
		out = append(out, operate.Fine("sender", "%s: connection, TLS and sign-in work", sender.Name()))
	}
	return out
}

func reasonOf(err error) string {
	if failed := new(authcore.SendError); errors.As(err, &failed) {
		return failed.Reason
	}
	return err.Error()
}
