package operate

import (
	"errors"
	"strings"
	"testing"
)

const receivedMail = `Delivered-To: me@example.org
Received: by 2002:a05:6402:1234 with SMTP id x1csp1; Mon, 30 Nov 2026 04:00:02 -0800 (PST)
Return-Path: <bounce+1@mg.example.com>
Received: from out.provider.example (out.provider.example. [192.0.2.1])
        by mx.example.org with ESMTPS id abc for <me@example.org>; Mon, 30 Nov 2026 04:00:01 -0800 (PST)
Authentication-Results: mx.example.org;
       dkim=pass header.i=@example.com header.s=s1 header.b=abc;
       spf=pass (domain of bounce+1@mg.example.com designates 192.0.2.1 as permitted sender) smtp.mailfrom="bounce+1@mg.example.com";
       dmarc=pass (p=QUARANTINE) header.from=example.com
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;
 h=from:to; bh=abc; b=d=evil.example
Received: from internal (localhost [127.0.0.1]) by out.provider.example; Mon, 30 Nov 2026 12:00:00 +0000
From: "Example" <login@example.com>
To: me@example.org
Subject: Test mail from Gatehouse
`

// What a receiver sees of a mail: each fault is named, and what is right is said.
func TestExamineReceived(t *testing.T) {
	good := zone{
		txt: map[string][]string{"192.0.2.1": {"out.provider.example."}}, host: map[string]bool{"out.provider.example": true},
	}
	const fine = "received_from ok, received_dkim ok, received_spf ok, received_dmarc ok, received_ptr ok, received_helo ok"
	for name, test := range map[string]struct {
		from, to string
		zone     zone
		want     string
	}{
		"good":              {"", "", good, fine},
		"another's":         {"<login@example.com>", "<login@example.net>", good, "received_from error, received_dkim warning, received_spf note, received_dmarc ok, received_ptr ok, received_helo ok"},
		"unsigned":          {"DKIM-Signature:", "X-Old-Signature:", good, strings.Replace(fine, "dkim ok", "dkim error", 1)},
		"signed by another": {"d=example.com;", "d=mailgun.example;", good, strings.Replace(fine, "dkim ok", "dkim warning", 1)},
		"subdomain signs":   {"d=example.com;", "d=mg.example.com;", good, fine},
		"looks alike":       {"d=example.com;", "d=notexample.com;", good, strings.Replace(fine, "dkim ok", "dkim warning", 1)},
		"broken signature":  {"dkim=pass", "dkim=fail", good, strings.Replace(fine, "dkim ok", "dkim error", 1)},
		"no word of it":     {"dkim=pass", "x=y", good, strings.Replace(fine, "dkim ok", "dkim note", 1)},
		"spf fails":         {"spf=pass", "spf=softfail", good, strings.Replace(fine, "spf ok", "spf error", 1)},
		"bounces elsewhere": {"<bounce+1@mg.example.com>\n", "<bounce@provider.example>\n", good, strings.Replace(fine, "spf ok", "spf note", 1)},
		"no return path":    {"Return-Path:", "X-Path:", good, strings.Replace(fine, "spf ok", "spf note", 1)},
		"dmarc fails":       {"dmarc=pass", "dmarc=fail", good, strings.Replace(fine, "dmarc ok", "dmarc error", 1)},
		"no PTR":            {"", "", zone{host: good.host}, strings.Replace(fine, "ptr ok", "ptr error", 1)},
		"PTR leads away":    {"", "", zone{txt: good.txt}, strings.Replace(fine, "ptr ok", "ptr warning", 1)},
		"no DNS":            {"", "", zone{dead: true}, strings.Replace(strings.Replace(fine, "ptr ok", "ptr note", 1), "helo ok", "helo note", 1)},
		"bare HELO":         {"from out.provider.example (", "from localhost (", good, strings.Replace(fine, "helo ok", "helo warning", 1)},
		"address as HELO":   {"from out.provider.example (", "from [192.0.2.1] (", good, strings.Replace(fine, "helo ok", "helo warning", 1)},
		"other HELO":        {"from out.provider.example (", "from mail.other.example (", good, strings.Replace(fine, "helo ok", "helo note", 1)},
		"no way":            {"Received: from out", "X-Received: from out", good, "received_from ok, received_dkim ok, received_spf ok, received_dmarc ok, received_ptr note"},
		"made-up results": {"Authentication-Results: mx.example.org;", "Authentication-Results: mx.example.org; none\nAuthentication-Results: evil;", good,
			"received_from ok, received_dkim note, received_spf note, received_dmarc note, received_ptr ok, received_helo ok"},
	} {
		i := New(Config{Setup: Setup{From: "login@example.com"}, DNS: test.zone})
		text := receivedMail
		if test.from != "" {
			if text = strings.ReplaceAll(text, test.from, test.to); text == receivedMail {
				t.Fatalf("%s changes nothing", name)
			}
		}
		for _, line := range []string{"\n", "\r\n"} {
			found, err := i.ExamineReceived(t.Context(), strings.ReplaceAll(text, "\n", line))
			if err != nil {
				t.Fatal(name, err)
			}
			if got := levels(found); got != test.want {
				t.Errorf("%s:\n%s, want\n%s\n%+v", name, got, test.want, found)
			}
		}
	}
	for _, bad := range []string{"", "nonsense", "Subject: x\n", "From: a@example.com, b@example.com\n", strings.Repeat("\n", 100)} {
		_, err := New(Config{DNS: good}).ExamineReceived(t.Context(), bad)
		if refused := new(Refusal); !errors.As(err, &refused) || refused.Kind != Malformed {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
