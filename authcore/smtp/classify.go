package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
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
	errNoStartTLS  = errors.New("the server does not offer STARTTLS; try tls implicit with port 465, or tls off if plain text is meant")
	errNoMechanism = errors.New("the server offers no sign-in this sender knows (SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN, CRAM-MD5)")
)

func (s *Sender) sendError(ctx context.Context, at step, err error) error {
	if ctx.Err() != nil && answer(err) == nil {
		// What the connection says then is only our own deadline.
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return &authcore.SendError{
		Fault:  fault(at, err),
		Reason: fmt.Sprintf("%s: %s", at, reason(at, err)),
		Err:    err,
	}
}

// fault decides what an error at a step means.
//
//	no answer: time-out, lost connection, TLS    SenderDown
//	421 at any step: the server is closing       SenderDown
//	anything before MAIL FROM                    SenderDown
//	530, 534, 535, 538: sign-in (RFC 4954)       SenderDown
//	5xx at MAIL FROM                             SenderDown
//	other 4xx                                    Deferred
//	other 5xx                                    Rejected
//
// A 5xx at MAIL FROM is about the address in "from", which is the same for
// every message: as Rejected it would throw away one mail after another without
// trying the next sender, and sign-in would look healthy. Nothing a visitor
// types is on the wire at that point, so no stranger can bring it about. A 4xx
// there is left Deferred: it is how servers slow a sender down.
func fault(at step, err error) authcore.SendFault {
	reply := answer(err)
	switch {
	case reply == nil || !slowsOrRefuses(reply.Code):
		return authcore.SenderDown
	case at != mailFrom && at != rcptTo && at != dataStep:
		return authcore.SenderDown
	}
	switch reply.Code {
	case 421, 530, 534, 535, 538:
		return authcore.SenderDown
	}
	switch {
	case reply.Code < 500:
		return authcore.Deferred
	case at == mailFrom:
		return authcore.SenderDown
	}
	return authcore.Rejected
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

// reason words err for operators. Of an answer it gives the codes, and the text
// only before sign-in: after that the server knows the address, the code and
// the link, and many repeat what they refuse.
func reason(at step, err error) string {
	early := at == connect || at == greeting || at == hello || at == startTLS
	reply := answer(err)
	switch {
	case reply != nil && early:
		return fmt.Sprintf("the server answered %d %s", reply.Code, printable(reply.Msg))
	case reply != nil:
		return "the server answered " + codes(reply) + hint(at, reply.Code)
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, context.DeadlineExceeded) && at == greeting:
		return "no greeting in time; a port that speaks TLS from the first byte needs tls implicit"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection"
	case early, errors.Is(err, errNoMechanism):
		return printable(err.Error())
	}
	return "the connection broke or the server does not speak the protocol"
}

// enhanced is the status code of RFC 3463 at the start of an answer's text.
var enhanced = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

func codes(reply *textproto.Error) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", reply.Code, enhanced.FindString(reply.Msg)))
}

func hint(at step, code int) string {
	switch {
	case code == 421:
		return ""
	case at == auth || code == 530 || code == 535:
		return "; check username and password"
	case at == mailFrom && code >= 500:
		return "; it does not accept the address in from"
	}
	return ""
}

// printable makes foreign text fit for one log line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}
