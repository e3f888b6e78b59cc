package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// examineTimeout bounds the checks that ask the network. They run side by side.
const examineTimeout = 15 * time.Second

// Examine runs all checks.
func (i *Instance) Examine(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	checks := []func() []Finding{
		i.examineConfig, i.Routes, i.examineLists, i.examineDomain, i.Portals, i.Proxies, i.examineStore, i.examineMail, i.examineClock,
		func() []Finding { return i.examineDNS(ctx) },
		func() []Finding { return i.examineSenders(ctx) },
	}
	results := make([][]Finding, len(checks))
	var all sync.WaitGroup
	for n, check := range checks {
		all.Go(func() { results[n] = check() })
	}
	all.Wait()
	return slices.Concat(results...)
}

// examineConfig looks for what is right for trying out and wrong for the rest.
func (i *Instance) examineConfig() []Finding {
	const check = "configuration"
	var out []Finding
	warn := func(found, do string) { out = append(out, Warning(check, found, do)) }
	for _, m := range i.Setup.Mail {
		switch {
		case m.Kind == "log":
			warn("mail log shows codes and links on the terminal", "write mail smtp or mail mailgun before people sign in: whoever reads the terminal can sign in as anybody")
		case m.Kind == "dir":
			warn("mail dir writes codes and links into files", "write mail smtp or mail mailgun before people sign in")
		case m.Clear && !isLocal(m.Address):
			warn("mail smtp "+m.Address+" sends codes in clear over the network", "take tls off out; the server has to offer STARTTLS")
		}
	}
	if i.Setup.InsecureHTTP {
		warn("insecure_http lets people sign in over plain http", "take it out once the sites have certificates: whoever listens gets the sessions")
	}
	if i.Setup.AuditOff {
		out = append(out, Note(check, "the audit log is off", "take audit off out, to be able to tell later who signed in"))
	}
	for _, g := range i.Gates {
		if g.ReportOnly {
			warn("the gate at "+g.At+" is report_only and stops nobody", "take report_only out once its log shows what you expect")
		}
	}
	if len(i.Gates) == 0 {
		warn("no gate stands anywhere, so nothing is protected", "write gatehouse and who may pass in a site")
	}
	if out == nil {
		return []Finding{Fine(check, "%s, nothing to say", Count(len(i.Gates), "gate", "gates"))}
	}
	return out
}

// isLocal tells whether host:port is this machine.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// examineLists looks at the files of people.
func (i *Instance) examineLists() []Finding {
	const check = "lists"
	var out []Finding
	all := i.Lists()
	for _, path := range slices.Sorted(maps.Keys(all)) {
		list := all[path]
		switch list.State {
		case policy.ListBadLines:
			out = append(out, Error(check, fmt.Sprintf("%s, line %d: %s (%s in all)", path, list.Bad[0].Line, list.Bad[0].Problem, Count(list.BadLines, "such line", "such lines")),
				"mend it: such a line admits nobody"))
		case policy.ListEmptied:
			out = append(out, Warning(check, fmt.Sprintf("%s is empty, and had %s before", path, Count(list.Entries, "entry", "entries")),
				"put it back if that was not meant: it names nobody"))
		case policy.ListRestless:
			out = append(out, Warning(check, path+" is written to without a pause: its whole lines are in force, and in deny also what it held before",
				"write it under another name and rename it, and keep logs elsewhere"))
		case policy.ListHeld, policy.ListRefused:
			out = append(out, Error(check, path+" can't be read: "+list.Problem,
				"put it back, readable for the user that the server runs as: a minute after it is gone it admits nobody"))
		default:
			out = append(out, Fine(check, "%s is in force", path))
		}
	}
	return out
}

// examineDomain compares the cookie's domain with the public suffix list.
func (i *Instance) examineDomain() []Finding {
	const check = "cookie_domain"
	if i.Setup.Domain == "" {
		return []Finding{Fine(check, "each host has sessions of its own")}
	}
	suffix, icann := publicsuffix.PublicSuffix(i.Setup.Domain)
	if suffix == i.Setup.Domain {
		return []Finding{Error(check, i.Setup.Domain+" is a public suffix: anybody can have a host under it", "write a domain of your own")}
	}
	out := []Finding{Note(check, "every host under "+i.Setup.Domain+" gets the session cookie, also those that no gate guards", "give no host under it to people you don't trust with everybody's session")}
	if !icann && strings.Contains(suffix, ".") {
		out = append(out, Fine(check, "%s lies under the private suffix %s", i.Setup.Domain, suffix))
	}
	for _, g := range i.Gates {
		for _, host := range g.Hosts {
			if name := strings.TrimPrefix(host, "*."); name != i.Setup.Domain && !strings.HasSuffix(name, "."+i.Setup.Domain) {
				out = append(out, Note(check, host+" is not under "+i.Setup.Domain+" and has sessions of its own", "right if people shall sign in there apart; else give it a name under "+i.Setup.Domain))
			}
		}
	}
	return out
}

// examineStore looks at the disk.
func (i *Instance) examineStore() []Finding {
	const check = "store"
	store := i.Store()
	if store.Error != "" {
		return []Finding{Error(check, "nothing can be written: "+store.Error, "free room on the disk, or see to it, then restart if it does not recover by itself")}
	}
	if store.Database != "" {
		out := []Finding{Fine(check, "%s can be written to and takes %s", store.Database, Bytes(store.SizeBytes))}
		if off := time.Duration(store.ClockBehind * float64(time.Second)); off.Abs() > time.Second {
			out = append(out, Warning(check, fmt.Sprintf("this machine's clock is %v off the database's, which is the one that counts", off.Abs().Round(time.Second)), "have both set by NTP"))
		}
		return out
	}
	out := []Finding{Fine(check, "%s takes %s, %s are free", store.Dir, Bytes(store.SizeBytes), Bytes(store.FreeBytes))}
	if store.FreeBytes > 0 && store.FreeBytes < 1<<30 {
		out[0].Level, out[0].Do = LevelWarning, "less than 1 GB is free: when the disk is full nobody can sign in"
	}
	return out
}

// examineMail tells how mail has gone so far.
func (i *Instance) examineMail() (out []Finding) {
	const check = "mail"
	mail := mailOf(i.Core.Status())
	waiting := Count(mail.Waiting, "waits", "wait")
	if mail.Down {
		out = append(out, Error(check, "no sender takes mail, "+waiting+"; sign-ins are refused", "see to the senders below"))
	}
	for _, sender := range mail.Senders {
		if sender.Unfit {
			out = append(out, Error(check, fmt.Sprintf("%s refused mail to several domains in a row and took none: %s", sender.Name, sender.Reason),
				askRelay))
		}
	}
	if mail.Delayed {
		out = append(out, Error(check, "no sender takes mail, as it seems, "+waiting+"; pages say that mail is delayed", "see to the senders, or write a second mail line: it is tried when the first one refuses"))
	}
	return out
}

// examineClock asks the kernel, and the store whether time has gone back.
func (i *Instance) examineClock() []Finding {
	const check = "clock"
	now := i.Service.Now()
	for _, key := range i.Core.Status().Keys {
		if key.Created.After(now.Add(time.Minute)) {
			return []Finding{Error(check, fmt.Sprintf("it is %s by this clock, but a signing key was made at %s", now.UTC().Format(time.RFC3339), key.Created.UTC().Format(time.RFC3339)), "set the clock; sessions begun before are refused until then")}
		}
	}
	if synced, known := clockSynced(); known && !synced {
		return []Finding{Warning(check, "the kernel says that nothing keeps this clock right", "run an NTP client such as systemd-timesyncd or chrony; codes and sessions hang on the time")}
	} else if !known {
		return []Finding{Note(check, "whether something keeps this clock right can't be told here", "compare: it is "+now.UTC().Format(time.RFC3339))}
	}
	return []Finding{Fine(check, "the kernel says that it is kept right")}
}

// askRelay is what to do where a mail server refuses everything of ours.
const askRelay = "do what its answer asks for; most often it must be told to relay for the address in from, or to accept this machine"

// examineSenders goes as far as each sender can without sending.
func (i *Instance) examineSenders(ctx context.Context) (out []Finding) {
	for _, sender := range i.Senders {
		out = append(out, i.examineSender(ctx, sender))
	}
	return out
}

func (i *Instance) examineSender(ctx context.Context, sender outbox.Sender) Finding {
	const check = "sender"
	name := sender.Name()
	to, err := address.Parse(i.Setup.From)
	if offerer, can := sender.(interface {
		Offer(ctx context.Context, from string, to address.Address) error
	}); can && err == nil {
		return examineOffer(name, i.Setup.From, offerer.Offer(ctx, i.Setup.From, to))
	}
	checker, can := sender.(outbox.Checker)
	if !can {
		return Note(check, name+" can only be tried by sending", "gatehouse test-email you@example.com")
	}
	if err := checker.Check(ctx); err != nil {
		return Error(check, name+": "+reasonOf(err), "do what its answer asks for: \"What the answers mean\" in docs/mail.md has the steps")
	}
	return Fine(check, "%s: there is a token; that it may send, only gatehouse test-email tells", name)
}

// examineOffer tells what a mail server said to a mail from and to the address in
// from. Another recipient would be a stranger's.
func examineOffer(name, from string, err error) Finding {
	const check = "sender"
	failed := new(outbox.SendError)
	switch {
	case err == nil:
		return Fine(check, "%s: connection, TLS and sign-in work, and mail from %s is taken", name, from)
	case !errors.As(err, &failed) || failed.Fault == outbox.SenderDown:
		return unreachable(name, err)
	case failed.Recipient:
		return Note(check, name+": connection, TLS and sign-in work, but "+from+" can't get mail itself: "+failed.Reason, "replies and bounces are lost; right if nobody is to read them")
	case failed.Fault == outbox.Deferred:
		return Warning(check, name+" puts mail off: "+failed.Reason, "look again in a few minutes; if it stays so, "+askRelay)
	}
	return Error(check, name+" refuses mail: "+failed.Reason, askRelay)
}

func unreachable(name string, err error) Finding {
	return Error("sender", name+": "+reasonOf(err), "compare address, tls, username and password with what your mail provider says")
}
