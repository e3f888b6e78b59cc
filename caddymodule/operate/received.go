package operate

import (
	"cmp"
	"context"
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// MailTo sends one mail, as sign-in mails go, for ExamineReceived to look at once
// it has come.
func (i *Instance) MailTo(ctx context.Context, by netip.Addr, recipient string) ([]Finding, error) {
	const check = "mail_to"
	to, err := address.Parse(recipient)
	if err != nil {
		return nil, refuse(Malformed, "mail_to: %w", err)
	}
	i.audit(by, "test_email", &apps.Holder{Address: to}, "")
	r := i.sendTest(ctx, i.Senders[0], i.testMessage(to))
	if !r.Sent {
		return []Finding{Error(check, r.Sender+" did not take it: "+r.Detail, "gatehouse test-email "+to.Masked()+" tries all senders")}, nil
	}
	return []Finding{Note(check, fmt.Sprintf("%s took it after %.1f s", r.Sender, r.Seconds),
		"save what arrives with all its headers (in most mail programs \"download\" or \"save as .eml\"), look whether it lay in spam, and run gatehouse doctor --received file.eml")}, nil
}

// received is what a mail's headers tell of its way.
type received struct {
	from     string   // domain of From
	envelope string   // domain that bounces go to
	signers  []string // d= of its DKIM signatures
	results  string   // the Authentication-Results of the server that has it
	helo     string   // how the server that handed it over called itself
	name     string   // what that one's address is called, by the server that has it
	ip       netip.Addr
}

// ExamineReceived looks at the headers of a mail of ours as its recipient has it:
// by what receivers judge whether it is from us.
func (i *Instance) ExamineReceived(ctx context.Context, headers string) ([]Finding, error) {
	m, err := mail.ReadMessage(strings.NewReader(strings.TrimLeft(headers, "\r\n") + "\r\n\r\n"))
	if err != nil {
		return nil, refuse(Malformed, "received is no mail with its headers: save it as .eml, in full")
	}
	for _, lines := range m.Header { // what strangers wrote goes to a terminal
		for n := range lines {
			lines[n] = outbox.OneLine(lines[n])
		}
	}
	r, err := readReceived(m.Header)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	out := []Finding{i.examineOurs(r), r.examineSigned(), r.examineEnvelope(), r.examineDMARC()}
	return append(out, r.examineHost(ctx, i.DNS)...), nil
}

func readReceived(h mail.Header) (*received, error) {
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 {
		return nil, refuse(Malformed, "received has no From with one address: save the mail as .eml, in full")
	}
	r := &received{from: strings.ToLower(domainOf(from[0].Address))}
	r.envelope = strings.ToLower(domainOf(strings.Trim(h.Get("Return-Path"), "<> ")))
	if all := h["Authentication-Results"]; len(all) > 0 {
		r.results = strings.ToLower(all[0]) // further ones are of servers before it, or made up
	}
	for _, signature := range h["Dkim-Signature"] {
		if d := signedBy.FindStringSubmatch(strings.Join(strings.Fields(signature), "")); d != nil {
			r.signers = append(r.signers, strings.ToLower(d[1]))
		}
	}
	for _, line := range h["Received"] {
		found := handedOver.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimPrefix(strings.ToLower(found[3]), "ipv6:"))
		if err != nil || ip.IsLoopback() || ip.IsPrivate() {
			continue
		}
		r.helo, r.name, r.ip = found[1], strings.TrimSuffix(found[2], "."), ip.Unmap()
		return r, nil
	}
	return r, nil
}

var (
	signedBy = regexp.MustCompile(`(?:^|;)d=([^;]+)`)
	// handedOver is "from HELO (name [address]) by …", in the order of servers from
	// the last one back.
	handedOver = regexp.MustCompile(`^\s*from\s+(\S+)\s+\((?:([^\s\[\]()]+)[^\[\]]*)?\[([0-9a-fA-F:.]+|(?i:IPv6):[0-9a-fA-F:.]+)\]`)
	result     = map[string]*regexp.Regexp{
		"dkim": regexp.MustCompile(`\bdkim=([a-z]+)`), "spf": regexp.MustCompile(`\bspf=([a-z]+)`), "dmarc": regexp.MustCompile(`\bdmarc=([a-z]+)`),
	}
)

// found are the results of a check by the server that has the mail.
func (r *received) found(check string) (all []string) {
	for _, m := range result[check].FindAllStringSubmatch(r.results, -1) {
		all = append(all, m[1])
	}
	return all
}

// aligned tells whether a domain counts as the one in From, as DMARC has it.
func (r *received) aligned(domain string) bool {
	return domain != "" && registrable(domain) == registrable(r.from)
}

func (i *Instance) examineOurs(r *received) Finding {
	const check = "received_from"
	if own := domainOf(i.Setup.From); own != "" && r.from != own {
		return Error(check, "the mail is from "+r.from+", ours are from "+own, "save one that gatehouse doctor --mail-to has sent")
	}
	return Fine(check, "From is at %s", r.from)
}

func (r *received) examineSigned() Finding {
	const check = "received_dkim"
	i := slices.IndexFunc(r.signers, r.aligned)
	passed := r.found("dkim")
	switch {
	case len(r.signers) == 0:
		return Error(check, "the mail has no DKIM signature", "have your mail provider sign for "+r.from+"; it says which record to publish")
	case i < 0:
		return Warning(check, "signed for "+strings.Join(r.signers, " and ")+" alone, which is not "+registrable(r.from)+": it does not count for the address in From",
			"have your mail provider sign for "+r.from+"; it says which record to publish")
	case len(passed) == 0:
		return Note(check, "signed for "+r.signers[i]+"; the server that has the mail does not say whether that is right", "send one to another provider, such as Gmail, and look again")
	case !slices.Contains(passed, "pass"):
		return Error(check, "signed for "+r.signers[i]+", and the signature is wrong (dkim="+passed[0]+")", "compare the record of the key with what your mail provider says; nothing may change a mail after it was signed")
	}
	return Fine(check, "signed for %s, and right", r.signers[i])
}

func (r *received) examineEnvelope() Finding {
	const check = "received_spf"
	passed := r.found("spf")
	switch {
	case r.envelope == "":
		return Note(check, "the mail does not say where bounces go (Return-Path)", "save it in full; forwarded mails have lost it")
	case len(passed) == 0:
		return Note(check, "bounces go to "+r.envelope+"; the server that has the mail does not say what SPF says", "send one to another provider, such as Gmail, and look again")
	case passed[0] != "pass":
		return Error(check, "SPF of "+r.envelope+" does not admit "+r.host()+" (spf="+passed[0]+")", "add what your mail provider says to the SPF record of "+r.envelope)
	case !r.aligned(r.envelope):
		return Note(check, "SPF is right for "+r.envelope+", which is not "+registrable(r.from)+": DKIM alone counts for the address in From", "some providers take a bounce domain (custom return path) of yours")
	}
	return Fine(check, "SPF of %s admits %s", r.envelope, r.host())
}

func (r *received) examineDMARC() Finding {
	const check = "received_dmarc"
	passed := r.found("dmarc")
	switch {
	case len(passed) == 0:
		return Note(check, "the server that has the mail does not say what DMARC says", "DMARC passes where DKIM or SPF is right for "+registrable(r.from))
	case passed[0] != "pass":
		return Error(check, "DMARC fails for "+r.from+" (dmarc="+passed[0]+")", "see to DKIM and SPF: one of them must be right for "+registrable(r.from))
	}
	return Fine(check, "DMARC passes for %s", r.from)
}

func (r *received) host() string {
	if !r.ip.IsValid() {
		return "the server that sent it"
	}
	return r.ip.String()
}

// examineHost looks at the server that handed the mail over: receivers mistrust one
// whose address has no name that leads back, or that calls itself by no name.
func (r *received) examineHost(ctx context.Context, dns Resolver) []Finding {
	const ptr, helo = "received_ptr", "received_helo"
	if !r.ip.IsValid() {
		return []Finding{Note(ptr, "the mail does not say which server handed it over", "save it in full, with its Received headers")}
	}
	leads := func(name string) (bool, error) {
		hosts, err := dns.LookupHost(ctx, name)
		return slices.Contains(hosts, r.ip.String()), err
	}
	names, err := dns.LookupAddr(ctx, r.ip.String())
	name := ""
	if len(names) > 0 {
		name = strings.TrimSuffix(names[0], ".")
	}
	var out []Finding
	switch back, lookup := leads(cmp.Or(name, "invalid.")); {
	case name == "" && !isNotFound(err):
		out = append(out, unresolved(ptr, r.ip.String(), err))
	case name == "":
		out = append(out, Error(ptr, r.ip.String()+", which handed the mail over, has no name (PTR)", "whoever gives you the address sets it; of a mail provider's server it is theirs to mend"))
	case !back && !isNotFound(lookup):
		out = append(out, unresolved(ptr, name, lookup))
	case !back:
		out = append(out, Warning(ptr, r.ip.String()+" is called "+name+", and that name does not lead back to it", "make the PTR record and the address of the name agree"))
	default:
		out = append(out, Fine(ptr, "%s is called %s, which leads back to it", r.ip, name))
	}
	switch back, _ := leads(r.helo); {
	case !strings.Contains(r.helo, ".") || strings.HasPrefix(r.helo, "["):
		out = append(out, Warning(helo, "the server calls itself "+r.helo+" (HELO), which is no full name", "set the name of your mail server; for Gatehouse itself it is hello in mail smtp"))
	case !back && r.helo != name:
		out = append(out, Note(helo, "the server calls itself "+r.helo+" (HELO), which does not lead to "+r.ip.String(), "best it is the name of the PTR record"))
	default:
		out = append(out, Fine(helo, "the server calls itself %s", r.helo))
	}
	return out
}
