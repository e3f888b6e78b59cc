package operate

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

// Resolver is the part of net.Resolver that the doctor needs.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupHost(ctx context.Context, name string) ([]string, error)
	LookupAddr(ctx context.Context, address string) ([]string, error)
}

// dkimSelectors are the usual names under which senders publish their keys. DNS
// can't be asked for all of them.
var dkimSelectors = []string{
	"default", "mail", "smtp", "dkim", "s1", "s2", "k1", "k2", "k3", "mx", "mailo", "pic", "krs",
	"google", "selector1", "selector2", "mandrill", "pm", "fm1", "fm2", "fm3", "sig1", "zoho", "protonmail",
}

// examineDNS looks up what receivers look up before they believe a mail.
func (i *Instance) examineDNS(ctx context.Context) []Finding {
	leaves := slices.ContainsFunc(i.Setup.Mail, func(m MailLine) bool { return m.Kind != "log" && m.Kind != "dir" })
	if i.Setup.From == "" || !leaves {
		return []Finding{Note("dns", "no mail leaves this machine", "right for trying out; before others sign in write mail smtp or mail mailgun, and from")}
	}
	domain, dns := domainOf(i.Setup.From), i.DNS
	return []Finding{
		examineReturn(ctx, dns, domain), examineSPF(ctx, dns, domain),
		examineDKIM(ctx, dns, domain), examineDMARC(ctx, dns, domain),
	}
}

// examineReturn: mail from a domain that can't receive any looks forged.
func examineReturn(ctx context.Context, dns Resolver, domain string) Finding {
	const check = "dns_mx"
	mx, err := dns.LookupMX(ctx, domain)
	if len(mx) > 0 {
		return Fine(check, "%s can receive mail", domain)
	}
	if !isNotFound(err) {
		return unresolved(check, domain, err)
	}
	if hosts, _ := dns.LookupHost(ctx, domain); len(hosts) > 0 {
		return Fine(check, "%s has an address, which mail for it goes to", domain)
	}
	return Warning(check, domain+" can't receive mail: it has neither MX nor address", "write an address in from whose domain exists; many receivers refuse others")
}

func examineSPF(ctx context.Context, dns Resolver, domain string) Finding {
	const check = "dns_spf"
	texts, err := dns.LookupTXT(ctx, domain)
	if err != nil && !isNotFound(err) {
		return unresolved(check, domain, err)
	}
	var found []string
	for _, text := range texts {
		if text == "v=spf1" || strings.HasPrefix(text, "v=spf1 ") {
			found = append(found, text)
		}
	}
	switch {
	case len(found) == 0:
		return Warning(check, domain+" has no SPF record", `publish a TXT record such as "v=spf1 include:<your provider> ~all", as your mail provider says`)
	case len(found) > 1:
		return Error(check, domain+" has several SPF records, which counts as an error", "make one of them")
	case strings.Contains(found[0], "+all"):
		return Warning(check, domain+" lets everybody send in its name (+all)", "end the record in ~all or -all")
	}
	return Fine(check, "%s: %s", domain, found[0])
}

func examineDMARC(ctx context.Context, dns Resolver, domain string) Finding {
	const check = "dns_dmarc"
	for _, name := range []string{domain, registrable(domain)} {
		texts, err := dns.LookupTXT(ctx, "_dmarc."+name)
		if err != nil && !isNotFound(err) {
			return unresolved(check, name, err)
		}
		if i := slices.IndexFunc(texts, func(t string) bool { return strings.HasPrefix(t, "v=DMARC1") }); i >= 0 {
			return Fine(check, "%s: %s", name, texts[i])
		}
	}
	return Warning(check, domain+" has no DMARC record", `publish a TXT record at _dmarc.`+registrable(domain)+` such as "v=DMARC1; p=quarantine", once SPF or DKIM is right`)
}

func examineDKIM(ctx context.Context, dns Resolver, domain string) Finding {
	const check = "dns_dkim"
	found := make([]bool, len(dkimSelectors))
	var all sync.WaitGroup
	for i, selector := range dkimSelectors {
		all.Go(func() {
			texts, _ := dns.LookupTXT(ctx, selector+"._domainkey."+domain)
			found[i] = slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "p=") })
		})
	}
	all.Wait()
	if i := slices.Index(found, true); i >= 0 {
		return Fine(check, "%s has a key, named %s", domain, dkimSelectors[i])
	}
	return Note(check, "no DKIM key of "+domain+" was found under the usual names", "your mail provider says which name it signs with; gatehouse doctor --mail-to you@gmail.com sends a mail, and --received looks at what came")
}

func unresolved(check, domain string, err error) Finding {
	reason := "DNS does not answer"
	if failed := new(net.DNSError); errors.As(err, &failed) && failed.IsTimeout {
		reason = "DNS does not answer in time"
	}
	return Note(check, domain+" can't be looked up from here: "+reason, "ask from another machine, for example with dig TXT "+domain)
}

func isNotFound(err error) bool {
	failed := new(net.DNSError)
	return err == nil || errors.As(err, &failed) && failed.IsNotFound
}

// registrable is the domain that somebody has registered.
func registrable(domain string) string {
	if name, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return name
	}
	return domain
}
