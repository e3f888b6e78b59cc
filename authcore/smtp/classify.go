package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// step is a point of the dialogue, as operators read it.
type step string

const (
	connect  step = "connect"
	greeting step = "greeting"
	hello    step = "EHLO"
	startTLS step = "STARTTLS"
	auth     step = "AUTH"
	mailFrom step = "MAIL FROM"
	rcptTo   step = "RCPT TO"
	dataStep step = "DATA"
)

var (
	errNoStartTLS    = errors.New("the server does not offer STARTTLS; try tls implicit with port 465, or tls off if plain text is meant")
	errWantsImplicit = errors.New("the server speaks TLS from the first byte; write tls implicit")
)

// sendError words what failed at a step of handing over m.
func (s *Sender) sendError(d *dialogue, err error, m outbox.Message) error {
	at := d.step
	failed := &outbox.SendError{
		Fault:     fault(at, err),
		Recipient: aboutRecipient(at, err),
		Reason:    fmt.Sprintf("%s: %s", at, s.reason(d, err, m)),
		Maybe:     d.ended && answer(err) == nil,
		Late:      d.late,
		Err:       err,
	}
	if failed.Maybe {
		failed.Reason += "; the mail was handed over whole, so it may have been taken"
	}
	return failed
}

// fault decides what an error at a step means.
//
//	anything before MAIL FROM                        SenderDown
//	at MAIL FROM: no answer, nonsense                SenderDown
//	at MAIL FROM: 4xx (421 too)                      Deferred
//	at MAIL FROM: 5xx                                Rejected
//	later: no answer, nonsense, 4xx (421 too)        Deferred
//	later: 5xx                                       Rejected
//
// A refusal at MAIL FROM names no recipient: of several domains in a row it makes
// the sender unfit. It is not down, which closes sign-in: only mail that is sent
// meets a refusal, and so it would tell who may sign in.
// Once the recipient is named, its own server may be what speaks, hangs up or
// keeps silent through ours, so nothing counts as ours.
func fault(at step, err error) outbox.SendFault {
	reply := answer(err)
	refused := reply != nil && slowsOrRefuses(reply.Code)
	switch {
	case at != mailFrom && at != rcptTo && at != dataStep, at == mailFrom && !refused:
		return outbox.SenderDown
	case refused && reply.Code >= 500:
		return outbox.Rejected
	}
	return outbox.Deferred
}

// aboutRecipient tells whether an answer names the recipient as its reason:
// address, mailbox or the way to it (RFC 3463). x.1.7 and x.1.8 are about the
// sender's address.
func aboutRecipient(at step, err error) bool {
	reply := answer(err)
	if reply == nil || at != rcptTo && at != dataStep {
		return false
	}
	status := strings.Split(enhanced.FindString(reply.Msg), ".")
	if len(status) != 3 {
		return false
	}
	switch status[1] {
	case "1":
		return status[2] != "7" && status[2] != "8"
	case "2", "4":
		return true
	}
	return false
}

// slowsOrRefuses is false for a 2xx or 3xx in the wrong place, too: a server
// that does not speak the protocol is down.
func slowsOrRefuses(code int) bool { return code >= 400 && code < 600 }

// answer is the server's reply in err, or nil if there was none.
func answer(err error) *textproto.Error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply
	}
	return nil
}

// reason words err for operators, with the server's own text. What it repeats of
// the mail or of our sign-in is blanked.
func (s *Sender) reason(d *dialogue, err error, m outbox.Message) string {
	at := d.step
	early := at == connect || at == greeting || at == hello || at == startTLS
	reply := answer(err)
	var unusable *noMechanism
	var plain tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case reply != nil:
		return fmt.Sprintf("the server answered %d %s", reply.Code, s.said(d, reply.Msg, m)) + s.challenge(d) + s.hint(at, reply.Code)
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, errEndless):
		return errEndless.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection"
	case s.config.TLS == Implicit && errors.As(err, &plain):
		return "the server does not speak TLS from the first byte; write tls starttls"
	case errors.As(err, &authority):
		return s.said(d, err.Error(), m) + "; if the authority is your own, name its certificate by ca"
	case errors.As(err, &name):
		return s.said(d, err.Error(), m) + "; if the server is right, name what its certificate is for by server_name"
	case early, errors.As(err, &unusable):
		return s.said(d, err.Error(), m)
	}
	return "the connection broke or the server does not speak the protocol"
}

// said is the server's text without what nobody may read.
func (s *Sender) said(d *dialogue, text string, m outbox.Message) string {
	// Of an answer of several lines each begins with the same status.
	if status := enhanced.FindString(text); status != "" {
		text = strings.ReplaceAll(text, "\n"+status+" ", "\n")
	}
	var secrets []string
	if d.token != nil {
		secrets = append(s.config.Tokens.Secrets(d.token.token), encoded(d.token.initial()))
	}
	if user, password := s.config.Username, string(s.config.Password); password != "" {
		secrets = append(secrets, password, encoded("\x00"+user+"\x00"+password), encoded(password))
	}
	if d.step == auth { // later it is part of what has to be understood
		secrets = append(secrets, s.config.Username, encoded(s.config.Username))
	}
	return m.Said(text, secrets...)
}

// challenge is what the server said of a bad token before its answer.
func (s *Sender) challenge(d *dialogue) string {
	if d.token == nil || d.token.said == "" {
		return ""
	}
	return " " + s.said(d, d.token.said, outbox.Message{})
}

// encoded is how s stands in AUTH.
func encoded(s string) string {
	if strings.Trim(s, "\x00") == "" {
		return ""
	}
	return strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "=")
}

// enhanced is the status code of RFC 3463 at the start of an answer's text.
var enhanced = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

func (s *Sender) hint(at step, code int) string {
	switch {
	case code == 421 || at == rcptTo || at == dataStep:
		return ""
	case (at == auth || code == 530 || code == 535) && s.config.Tokens != nil:
		return "; the token was good for the provider, not here: check that the application may send by SMTP, and for username"
	case at == auth || code == 530 || code == 535:
		return "; check username and password"
	case at == mailFrom && code >= 500:
		return "; it does not accept the address in from"
	}
	return ""
}
