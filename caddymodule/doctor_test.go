package caddymodule

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
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

func levels(findings []operate.Finding) string {
	var all []string
	for _, f := range findings {
		all = append(all, f.Check+" "+f.Level)
		if f.Level != operate.LevelOK && f.Do == "" {
			all = append(all, "(nothing to do)")
		}
	}
	return strings.Join(all, ", ")
}

func TestDoctorDNS(t *testing.T) {
	app := &App{From: &From{Address: "login@mail.example.com"}, Mail: []Mail{{SMTP: &SMTP{Address: "smtp.example.com:587"}}}}
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
		if got := levels(app.examineDNS(t.Context(), test.zone)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	local := &App{Mail: []Mail{{Log: &MailLog{}}}}
	if got := levels(local.examineDNS(t.Context(), zone{})); got != "dns note" {
		t.Error(got)
	}
}

func TestDoctorConfiguration(t *testing.T) {
	on := true
	for name, test := range map[string]struct {
		app  *App
		want string
	}{
		"good":   {&App{Mail: []Mail{{SMTP: &SMTP{Address: "smtp.example.com:587"}}}, gates: []*Gate{{place: &place{}}}}, "configuration ok"},
		"log":    {&App{Mail: []Mail{{Log: &MailLog{}}}, gates: []*Gate{{place: &place{}}}}, "configuration warning"},
		"plain":  {&App{Mail: []Mail{{SMTP: &SMTP{Address: "smtp.example.com:25", TLS: "off"}}}, gates: []*Gate{{place: &place{}}}}, "configuration warning"},
		"local":  {&App{Mail: []Mail{{SMTP: &SMTP{Address: "localhost:25", TLS: "off"}}}, gates: []*Gate{{place: &place{}}}}, "configuration ok"},
		"http":   {&App{InsecureHTTP: &on, gates: []*Gate{{place: &place{}}}}, "configuration warning"},
		"off":    {&App{Audit: auditOff, gates: []*Gate{{place: &place{}}}}, "configuration note"},
		"report": {&App{gates: []*Gate{{place: &place{}, ReportOnly: true}}}, "configuration warning"},
		"none":   {&App{}, "configuration warning"},
	} {
		if got := levels(test.app.examineConfig()); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	for domain, want := range map[string]string{
		"": "cookie_domain ok", "example.com": "cookie_domain note", "co.uk": "cookie_domain error", "github.io": "cookie_domain error",
	} {
		app := App{Domain: domain}
		if got := levels(app.examineDomain()); got != want {
			t.Errorf("%q: %s, want %s", domain, got, want)
		}
	}
}

func TestDoctorCommand(t *testing.T) {
	doctorDNS = zone{dead: true}
	t.Cleanup(func() { doctorDNS = net.DefaultResolver })
	o := newOperated(t)
	o.run("", "staff")
	out, errs, code := o.command("doctor")
	if code != cli.ExitDone {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	wantText(t, out, "store: ", "clock: ", "sender: smtp "+o.mail.Addr+": connection, TLS and sign-in work", "cookie_domain: ", "trusted_proxies: ", "configuration: ", "dns_")
	if n := len(o.mail.Messages()); n != 0 {
		t.Errorf("the doctor sent %d mails", n)
	}
	o.mail.Stop()
	o.fails(cli.ExitNo, []string{"error    sender: smtp", "connect", "compare address"}, "doctor")
	out, _, _ = o.command("doctor", "--json")
	wantText(t, out, `"findings"`, `"do"`)
}
