// Package rfc5322 turns a message into the bytes that every sender hands on:
// the headers and MIME parts of RFC 5322 and RFC 2045 to 2047.
//
// Encode is a pure function, so the same message is the same bytes whether it
// leaves by SMTP, by an HTTP API or into a file. It is also the one place that
// keeps what people typed from becoming a header: a field that could is
// refused, not repaired.
//
// It keeps nothing.
package rfc5322

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Encode writes m as an Internet message: CRLF line ends, 7-bit, lines of at
// most 76 octets but for words of a header that can't be folded (at most 820).
// With HTML it is multipart/alternative, text first; both parts are
// quoted-printable UTF-8.
//
// A field that is missing or could break out of its header is an error, always
// a *outbox.SendError with fault Rejected, which names the field and does not
// repeat its value.
func Encode(m outbox.Message) ([]byte, error) {
	if err := Check(m); err != nil {
		return nil, err
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary(boundary(m)))
	setHeaders(msg, m)
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		return nil, &outbox.SendError{
			Fault: outbox.Rejected, Reason: "the mail can't be built", Err: err,
		}
	}
	return out.Bytes(), nil
}

// Check says whether m can be sent, for senders that don't need its text.
func Check(m outbox.Message) error {
	err := check(m)
	if err == nil {
		return nil
	}
	return &outbox.SendError{Fault: outbox.Rejected, Reason: "the mail can't be built: " + err.Error(), Err: err}
}

func setHeaders(msg *mail.Msg, m outbox.Message) {
	address := func(header mail.AddrHeader, name, address string) {
		msg.SetAddrHeaderFromMailAddress(header, &netmail.Address{Name: name, Address: address})
	}
	set := func(header mail.Header, value string) {
		if value != "" {
			msg.SetGenHeader(header, value)
		}
	}
	address(mail.HeaderFrom, oneSpaced(m.FromName), m.FromAddress)
	address(mail.HeaderTo, "", m.To.String())
	if m.ReplyTo != "" {
		address(mail.HeaderReplyTo, "", m.ReplyTo)
	}
	msg.Subject(oneSpaced(m.Subject))
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.MessageID)
	if m.References != "" {
		// Unique, so that mail programs don't hide a new code in an old thread.
		set(mail.HeaderReferences, "<"+m.References+">")
	}
	set("X-Entity-Ref-ID", m.EntityRef)
	set("Content-Language", m.Language)
	// RFC 3834 and Exchange: no out-of-office replies to a machine.
	set("Auto-Submitted", "auto-generated")
	set(mail.HeaderXAutoResponseSuppress, "All")
}

// oneSpaced makes every run of white space one space. Runs confuse the folding
// of headers: a folded line of nothing but spaces ends the headers for some
// programs.
func oneSpaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// boundary depends on the random Message-ID, so whoever wrote a part of the
// text could not know it.
func boundary(m outbox.Message) string {
	sum := sha256.Sum256([]byte("boundary of " + m.MessageID))
	return hex.EncodeToString(sum[:20])
}

// Syntax of the fields that are not free text. Dot-atoms only: quoted local
// parts, comments, groups and lists have no place in a sign-in mail.
var (
	addrSpec  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}$")
	messageID = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}@[A-Za-z0-9.-]{1,253}$")
	token     = regexp.MustCompile(`^[A-Za-z0-9._=+/-]{1,128}$`)
	language  = regexp.MustCompile(`^[A-Za-z0-9-]{1,35}$`) // RFC 5646 section 4.4.1
)

// maxPhrase bounds a subject and a display name in bytes, so that even one
// that can't be folded stays below the 998 octets of RFC 5322, and one that names
// the longest host beside the longest title of a site still fits.
const maxPhrase = 800

func check(m outbox.Message) error {
	fields := []struct {
		name, value string
		syntax      *regexp.Regexp
		required    bool
	}{
		{"From address", m.FromAddress, addrSpec, true},
		{"To address", m.To.String(), addrSpec, true},
		{"Reply-To address", m.ReplyTo, addrSpec, false},
		{"Message-ID", m.MessageID, messageID, true},
		{"References", m.References, messageID, false},
		{"X-Entity-Ref-ID", m.EntityRef, token, false},
		{"Content-Language", m.Language, language, false},
	}
	for _, f := range fields {
		if f.value == "" && !f.required {
			continue
		}
		if !f.syntax.MatchString(f.value) {
			return fmt.Errorf("the %s is missing, too long or holds a character it may not", f.name)
		}
	}
	return errors.Join(checkText(m), CheckPhrase("Subject", m.Subject), CheckPhrase("From name", m.FromName))
}

func checkText(m outbox.Message) error {
	switch {
	case m.Text == "" || m.Subject == "":
		return errors.New("the subject or the text is missing")
	case m.Date.IsZero():
		return errors.New("the Date is missing")
	case !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML):
		return errors.New("the text or the HTML is not UTF-8")
	}
	return nil
}

// CheckPhrase says whether value can be a subject or a display name; name is what
// the error calls it. Encoding a line break would be safe on the wire, but programs
// that decode and write a header again have turned it into a new header before.
func CheckPhrase(name, value string) error {
	switch {
	case len(value) > maxPhrase:
		return fmt.Errorf("the %s is longer than %d bytes", name, maxPhrase)
	case !utf8.ValidString(value):
		return fmt.Errorf("the %s is not UTF-8", name)
	case strings.ContainsFunc(value, breaksLine):
		return fmt.Errorf("the %s holds a line break or another control character", name)
	}
	return nil
}

// breaksLine is true for C0 and C1 controls, which include CR, LF, NUL and
// NEL, and for Unicode's line and paragraph separators.
func breaksLine(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}
