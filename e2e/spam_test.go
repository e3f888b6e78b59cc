//go:build prove

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// TestSpamAssassin lets Debian's SpamAssassin judge the mails that a real server
// received, in every language, without asking anybody on the network. 5 is spam.
func TestSpamAssassin(t *testing.T) {
	const limit = 1.0
	// Over https and without a port in the address, as in a mail of a real site.
	tlsPort := caddytest.FreePort(t)
	s := start(t, plan{
		caddy: "auto_https off\nhttps_port " + tlsPort,
		sites: strings.Replace(overTLS(t, tlsPort, "wiki.example.com"), ":"+tlsPort, "", 1),
	})
	wiki := func() *visitor {
		v := newVisitor(s, "https://wiki.example.com")
		v.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+tlsPort)
		}
		return v
	}
	var all strings.Builder
	var names []string
	keep := func(lang string, m smtptest.Message) {
		data := m.Data
		// As it arrives, by way of the site's mail server: a mail that nobody
		// has received counts as this machine's own, which SpamAssassin trusts.
		date := regexp.MustCompile(`(?m)^Date: (.*)\r$`).FindSubmatch(data)[1]
		fmt.Fprintf(&all, "From login@example.com Sat Nov 21 14:25:00 2026\n"+
			"Received: from mail.example.com (mail.example.com [192.0.32.8])\n"+
			"\tby mx.example.net (Postfix) with ESMTPS id 4XYZ\n\tfor <alice@example.net>; %s\n"+
			"Received: from wiki.example.com (wiki.example.com [192.0.32.9])\n"+
			"\tby mail.example.com (Postfix) with ESMTPSA id 4ABC; %[1]s\nX-Case: %d\n%s\n\n",
			date, len(names), strings.ReplaceAll(string(data), "\r", ""))
		names = append(names, lang+" "+m.Parse(t).Subject)
	}
	for _, lang := range []string{"en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ja", "zh-Hans", "ar", "he"} {
		alice, v := person("alice"), wiki()
		v.post("/_gatehouse/login", "email", alice, "ui_locales", lang).must(t, 303)
		m := mails.NextTo(t, alice)
		keep(lang, m)
		v.post("/_gatehouse/code", "code", m.Code(t)).must(t, 303)
		second := wiki() // a browser not seen before: a notice comes
		second.post("/_gatehouse/login", "email", alice, "ui_locales", lang).must(t, 303)
		second.post("/_gatehouse/code", "code", mails.NextTo(t, alice).Code(t)).must(t, 303)
		keep(lang, mails.NextTo(t, alice))
	}
	// -L: no look-ups. -t: as for a test, with a report.
	check := exec.Command("spamassassin", "-L", "-t", "--mbox")
	check.Env = append(check.Environ(), "HOME="+t.TempDir())
	check.Stdin = strings.NewReader(all.String())
	out, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("spamassassin (Debian's package): %v\n%s", err, out)
	}
	// They come back in another order.
	scores := regexp.MustCompile(`(?s)\nX-Spam-Status: \S+ score=(-?[0-9.]+) required=\S+ tests=((?:\S|,\n\t)+).*?\nX-Case: ([0-9]+)\n`).FindAllStringSubmatch(string(out), -1)
	if len(scores) != len(names) {
		t.Fatalf("%d mails, %d scores:\n%s", len(names), len(scores), out)
	}
	for _, found := range scores {
		n, _ := strconv.Atoi(found[3])
		score, err := strconv.ParseFloat(found[1], 64)
		if err != nil || score >= limit {
			t.Errorf("%s: score %s, must be below %v: %s", names[n], found[1], limit, found[2])
		}
		t.Logf("%s: %s %s", names[n], found[1], found[2])
	}
}
