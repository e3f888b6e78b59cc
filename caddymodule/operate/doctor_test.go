package operate

import (
	"context"
	"net"
	"strings"
	"testing"
)

// zone is DNS as a test has it.
type zone struct {
	txt  map[string][]string
	mx   map[string]bool
	host map[string]bool
	dead bool
}

func (z zone) fail(name string) error {
	if z.dead {
		return &net.DNSError{Name: name, IsTimeout: true}
	}
	return &net.DNSError{Name: name, IsNotFound: true}
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if texts := z.txt[name]; texts != nil {
		return texts, nil
	}
	return nil, z.fail(name)
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if z.mx[name] {
		return []*net.MX{{Host: "mx." + name}}, nil
	}
	return nil, z.fail(name)
}

func (z zone) LookupHost(_ context.Context, name string) ([]string, error) {
	if z.host[name] {
		return []string{"192.0.2.1"}, nil
	}
	return nil, z.fail(name)
}

func (z zone) LookupAddr(_ context.Context, address string) ([]string, error) {
	if names := z.txt[address]; names != nil {
		return names, nil
	}
	return nil, z.fail(address)
}

func levels(findings []Finding) string {
	var all []string
	for _, f := range findings {
		all = append(all, f.Check+" "+f.Level)
		if f.Level != LevelOK && f.Do == "" {
			all = append(all, "(nothing to do)")
		}
	}
	return strings.Join(all, ", ")
}

func TestDoctorDNS(t *testing.T) {
	setup := Setup{From: "login@mail.example.com", Mail: []MailLine{{Kind: "smtp", Address: "smtp.example.com:587"}}}
	good := zone{
		mx: map[string]bool{"mail.example.com": true},
		txt: map[string][]string{
			"mail.example.com": {"other=1", "v=spf1 include:provider.example -all"}, "_dmarc.example.com": {"v=DMARC1; p=none"},
			"s1._domainkey.mail.example.com": {"v=DKIM1; p=abc"},
		},
	}
	for name, test := range map[string]struct {
		zone zone
		want string
	}{
		"good":     {good, "dns_mx ok, dns_spf ok, dns_dkim ok, dns_dmarc ok"},
		"empty":    {zone{}, "dns_mx warning, dns_spf warning, dns_dkim note, dns_dmarc warning"},
		"host":     {zone{host: map[string]bool{"mail.example.com": true}}, "dns_mx ok, dns_spf warning, dns_dkim note, dns_dmarc warning"},
		"dead":     {zone{dead: true}, "dns_mx note, dns_spf note, dns_dkim note, dns_dmarc note"},
		"twice":    {zone{mx: good.mx, txt: map[string][]string{"mail.example.com": {"v=spf1 -all", "v=spf1 ~all"}}}, "dns_mx ok, dns_spf error, dns_dkim note, dns_dmarc warning"},
		"everyone": {zone{mx: good.mx, txt: map[string][]string{"mail.example.com": {"v=spf1 +all"}}}, "dns_mx ok, dns_spf warning, dns_dkim note, dns_dmarc warning"},
	} {
		if got := levels(New(Config{Setup: setup, DNS: test.zone}).examineDNS(t.Context())); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if do := examineDKIM(t.Context(), zone{}, "example.com").Do; !strings.Contains(do, "doctor --mail-to") || !strings.Contains(do, "--received") {
		t.Errorf("no way to find out whether mails are signed: %s", do)
	}
	local := New(Config{Setup: Setup{Mail: []MailLine{{Kind: "log"}}}, DNS: zone{}})
	if got := levels(local.examineDNS(t.Context())); got != "dns note" {
		t.Error(got)
	}
}

func TestDoctorConfiguration(t *testing.T) {
	gate := []Gate{{At: "app.example.com"}}
	mail := func(kind, address string, clear bool) Setup {
		return Setup{Mail: []MailLine{{Kind: kind, Address: address, Clear: clear}}}
	}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"good":   {Config{Setup: mail("smtp", "smtp.example.com:587", false), Gates: gate}, "configuration ok"},
		"log":    {Config{Setup: mail("log", "", false), Gates: gate}, "configuration warning"},
		"dir":    {Config{Setup: mail("dir", "", false), Gates: gate}, "configuration warning"},
		"plain":  {Config{Setup: mail("smtp", "smtp.example.com:25", true), Gates: gate}, "configuration warning"},
		"local":  {Config{Setup: mail("smtp", "localhost:25", true), Gates: gate}, "configuration ok"},
		"http":   {Config{Setup: Setup{InsecureHTTP: true}, Gates: gate}, "configuration warning"},
		"off":    {Config{Setup: Setup{AuditOff: true}, Gates: gate}, "configuration note"},
		"report": {Config{Gates: []Gate{{ReportOnly: true}}}, "configuration warning"},
		"none":   {Config{}, "configuration warning"},
	} {
		if got := levels(New(test.config).examineConfig()); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	for domain, want := range map[string]string{
		"": "cookie_domain ok", "example.com": "cookie_domain note", "co.uk": "cookie_domain error", "github.io": "cookie_domain error",
	} {
		if got := levels(New(Config{Setup: Setup{Domain: domain}}).examineDomain()); got != want {
			t.Errorf("%q: %s, want %s", domain, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 keys", 1: "1 key", 2: "2 keys"} {
		if got := Count(n, "key", "keys"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
