package rfc5322_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const link = "https://wiki.acme.example/_gatehouse/link/0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func message(t *testing.T) outbox.Message {
	t.Helper()
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		FromName: "Acme Wiki", FromAddress: "login@wiki.acme.example",
		To: to, ReplyTo: "help@wiki.acme.example",
		Subject:  "482913 is your Acme Wiki sign-in code",
		Text:     "482913 is your code.\n\nOr open this link:\n\n" + link + "\n",
		HTML:     "<p><b>482913</b> is your code.</p>\n<p><a href=\"" + link + "\">Sign in</a></p>\n",
		Language: "en", MessageID: "0a1b2c3d@wiki.acme.example",
		References: "login.4e5f@wiki.acme.example", EntityRef: "4e5f",
		Date: time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC),
		Code: "482913", Link: link,
	}
}

func encode(t *testing.T, m outbox.Message) []byte {
	t.Helper()
	data, err := rfc5322.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGolden(t *testing.T) {
	textOnly := message(t)
	textOnly.HTML, textOnly.ReplyTo, textOnly.References = "", "", ""
	foreign := message(t)
	foreign.FromName = "Größenwahn „Wiki“"
	foreign.Subject = "482913 ist dein Anmeldecode für das Wiki der Größenwahn Gesellschaft in Zürich 🔑"
	foreign.Text = "482913 ist dein Code für Zürich.\n.\nFrom here on dots lead lines.\n..\n" + link + "\n"
	foreign.Language = "de"
	for name, m := range map[string]outbox.Message{
		"alternative.eml": message(t), "text-only.eml": textOnly, "foreign.eml": foreign,
	} {
		path := filepath.Join("testdata", name)
		got := encode(t, m)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: -want +got (run with -update if it is meant):\n%s", name, diff)
		}
	}
}

func TestReadsBackAsWritten(t *testing.T) {
	for _, change := range []func(*outbox.Message){
		func(m *outbox.Message) {},
		func(m *outbox.Message) { m.FromName = "" },
		func(m *outbox.Message) { m.FromName = `Quote " and \ and , <a@b.example>` },
		func(m *outbox.Message) { m.Subject = "482913 " + strings.Repeat("ß", 200) },
		func(m *outbox.Message) { m.Subject = "482913 " + strings.Repeat("x", 793) },
		func(m *outbox.Message) { m.Subject = "482913 =?utf-8?q?x?= 日本語のコード" },
		func(m *outbox.Message) { m.Text = "482913\n" + strings.Repeat(link, 30) + "\n" },
		func(m *outbox.Message) { m.Text = "482913 \n\ttabs and trailing space \n\n.\n.x\n" },
		func(m *outbox.Message) { m.HTML = "<p>" + strings.Repeat("482913 é ", 500) + "</p>\n" },
		func(m *outbox.Message) { m.Text = "--" + strings.Repeat("-", 40) + "\n--\n" },
	} {
		m := message(t)
		change(&m)
		data := encode(t, m)
		checkLines(t, data)
		got := smtptest.Message{Data: data}.Parse(t)
		want := smtptest.Mail{
			Header: got.Header, Subject: m.Subject, Text: m.Text, HTML: m.HTML,
			Parts: []string{"text/plain", "text/html"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s\n%s", diff, data)
		}
		from, err := got.Header.AddressList("From")
		if err != nil || len(from) != 1 || from[0].Name != m.FromName || from[0].Address != m.FromAddress {
			t.Errorf("From %q: %v", got.Header.Get("From"), err)
		}
		for field, values := range got.Header {
			if len(values) != 1 {
				t.Errorf("%d %s headers", len(values), field)
			}
		}
	}
}

func checkLines(t *testing.T, data []byte) {
	t.Helper()
	head, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(data, []byte("\r\n")) {
		limit := 76
		if bytes.Contains(head, line) {
			limit = 820
		}
		if len(line) > limit {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
		if bytes.ContainsAny(line, "\r\n\x00") || slices.ContainsFunc(line, func(b byte) bool { return b > 126 }) {
			t.Errorf("a bare CR, LF, NUL or 8-bit octet in %q", line)
		}
	}
}

// What strangers type reaches a mail only through fields; none may become a
// header, a recipient or a part.
func TestNoFieldBreaksOutOfItsHeader(t *testing.T) {
	evil := []string{
		"x\r\nBcc: mallory@evil.example", "x\nBcc: mallory@evil.example", "x\rBcc: mallory@evil.example",
		"x\r\n\r\nbody", "x\x00", "x\x1b[31m", "x\u0085Bcc: mallory@evil.example",
		"x\u2028Bcc: mallory@evil.example", "x\xff", strings.Repeat("x", 2000),
	}
	fields := map[string]func(*outbox.Message, string){
		"Subject":    func(m *outbox.Message, s string) { m.Subject = s },
		"FromName":   func(m *outbox.Message, s string) { m.FromName = s },
		"From":       func(m *outbox.Message, s string) { m.FromAddress = s + "@acme.example" },
		"From tail":  func(m *outbox.Message, s string) { m.FromAddress = "login@" + s },
		"Reply-To":   func(m *outbox.Message, s string) { m.ReplyTo = "help@" + s },
		"Message-ID": func(m *outbox.Message, s string) { m.MessageID = s + "@acme.example" },
		"References": func(m *outbox.Message, s string) { m.References = s + "@acme.example" },
		"EntityRef":  func(m *outbox.Message, s string) { m.EntityRef = s },
		"Language":   func(m *outbox.Message, s string) { m.Language = s },
	}
	for name, set := range fields {
		for _, s := range evil {
			m := message(t)
			set(&m, s)
			wantRejected(t, name, s, m)
		}
	}
	for _, s := range []string{
		"a@b.example, c@d.example", "a@b.example;c@d.example", "g: a@b.example;", `"a@b"@c.example`,
		"<a@b.example>", "a@b.example (x)", "Alice <a@b.example>", "a b@c.example", "a@[127.0.0.1]",
		"a@b@c.example", "ä@b.example", "a＠b.example",
	} {
		m := message(t)
		m.ReplyTo = s
		wantRejected(t, "Reply-To", s, m)
		m = message(t)
		m.FromAddress = s
		wantRejected(t, "From", s, m)
	}
}

func wantRejected(t *testing.T, field, value string, m outbox.Message) {
	t.Helper()
	data, err := rfc5322.Encode(m)
	var failed *outbox.SendError
	if !errors.As(err, &failed) || failed.Fault != outbox.Rejected {
		t.Errorf("%s = %q: got %v\n%s", field, value, err, data)
		return
	}
	if strings.Contains(err.Error(), "mallory") {
		t.Errorf("the error repeats what was typed: %v", err)
	}
}

func TestMissingFieldsAreRefused(t *testing.T) {
	for name, clear := range map[string]func(*outbox.Message){
		"From": func(m *outbox.Message) { m.FromAddress = "" },
		"To":   func(m *outbox.Message) { m.To = address.Address{} },
		"ID":   func(m *outbox.Message) { m.MessageID = "" },
		"Text": func(m *outbox.Message) { m.Text = "" },
		"Subj": func(m *outbox.Message) { m.Subject = "" },
		"Date": func(m *outbox.Message) { m.Date = time.Time{} },
	} {
		m := message(t)
		clear(&m)
		wantRejected(t, name, "", m)
	}
}

// Runs of spaces once made folded lines of nothing but spaces, which some
// programs take for the end of the headers.
func TestRunsOfSpacesBecomeOne(t *testing.T) {
	m := message(t)
	m.Subject = "482913" + strings.Repeat(" ", 300) + "Bcc: mallory@evil.example  "
	m.FromName = "  A" + strings.Repeat(" ", 200) + "B  "
	got := smtptest.Message{Data: encode(t, m)}.Parse(t)
	if got.Subject != "482913 Bcc: mallory@evil.example" || got.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, header %v", got.Subject, got.Header)
	}
	if from, err := got.Header.AddressList("From"); err != nil || from[0].Name != "A B" {
		t.Errorf("From %v: %v", from, err)
	}
}
