package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// The doctor sends one mail, through the first sender alone, and looks at one as it
// has come.
func TestDoctorLooksAtAMail(t *testing.T) {
	withoutDNS(t)
	o := newOperated(t)
	o.run("mail dir "+o.dir+"/second", "staff")
	wantText(t, o.done("doctor", "--mail-to", "me@example.org"), "took it after", "--received file.eml")
	sent := o.mail.NextTo(t, "me@example.org")
	if n := len(o.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
	if entries := o.audited("admin_action"); len(entries) != 1 || entries[0]["reason"] != "test_email" {
		t.Errorf("%v", entries)
	}
	o.fails(cli.ExitUsage, []string{"mail_to: "}, "doctor", "--mail-to", "nonsense")
	o.mail.RefuseTo("gone@example.org", 550)
	o.fails(cli.ExitNo, []string{"did not take it"}, "doctor", "--mail-to", "gone@example.org")

	file := filepath.Join(o.dir, "mail.eml")
	must(t, os.WriteFile(file, append([]byte("Return-Path: <login@example.com>\r\n"), sent.Data...), 0o600))
	o.fails(cli.ExitNo, []string{"ok       received_from: From is at example.com", "error    received_dkim: the mail has no DKIM signature", "note     received_ptr"}, "doctor", "--received", file)
	signed := "Return-Path: <login@example.com>\nAuthentication-Results: mx.example.org; dkim=pass; spf=pass; dmarc=pass\nDKIM-Signature: v=1; d=example.com; b=x\n"
	must(t, os.WriteFile(file, append([]byte(signed), sent.Data...), 0o600))
	var found operate.Status
	o.document(&found, "doctor", "--received", file)
	if len(found.Findings) != 5 {
		t.Errorf("%+v", found.Findings)
	}
	must(t, os.WriteFile(file, []byte("\x00\xff no mail"), 0o600))
	o.fails(cli.ExitUsage, []string{"save"}, "doctor", "--received", file)
	must(t, os.WriteFile(file, []byte(strings.Repeat("x", 100<<10)), 0o600))
	o.fails(cli.ExitUsage, []string{"no headers"}, "doctor", "--received", file)
	o.fails(cli.ExitUsage, []string{"no such file"}, "doctor", "--received", file+".gone")
}
