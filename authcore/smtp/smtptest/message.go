package smtptest

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds the wait for a message, so that a test fails with a sentence
// instead of hanging. Generous, because test machines are busy.
const patience = 30 * time.Second

// Message is one accepted message.
type Message struct {
	From string   // of MAIL FROM
	To   []string // of RCPT TO
	Data []byte   // as sent, dots unstuffed, lines end in CRLF
	Helo string
	User string // who signed in, or empty
	TLS  bool   // whether the connection was encrypted
}

// Mail is the readable content of a Message.
type Mail struct {
	Header     mail.Header
	Subject    string   // decoded
	Text, HTML string   // decoded, lines end in \n
	Parts      []string // content types in order, without parameters
}

func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox = append(s.inbox, &received{Message: m})
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// Messages returns all messages accepted so far, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Message
	for _, r := range s.inbox {
		all = append(all, r.Message)
	}
	return all
}

// Next waits for the oldest message that neither Next nor NextTo has returned.
func (s *Server) Next(t testing.TB) Message {
	t.Helper()
	return s.next(t, "anybody", func(Message) bool { return true })
}

// NextTo is Next for the messages to one address.
func (s *Server) NextTo(t testing.TB, address string) Message {
	t.Helper()
	return s.next(t, address, func(m Message) bool { return slices.Contains(m.To, address) })
}

func (s *Server) next(t testing.TB, who string, match func(Message) bool) Message {
	t.Helper()
	timeout := time.After(patience)
	for {
		m, arrived, ok := s.take(match)
		if ok {
			return m
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("smtptest: no mail to %s within %v", who, patience)
		}
	}
}

func (s *Server) take(match func(Message) bool) (Message, chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.inbox {
		if !r.taken && match(r.Message) {
			r.taken = true
			return r.Message, nil, true
		}
	}
	return Message{}, s.arrived, false
}

var (
	codeDigits = regexp.MustCompile(`(?:^|[^0-9])([0-9]{6,})(?:[^0-9]|$)`)
	linkURL    = regexp.MustCompile(`https?://[^\s"'<>]+/_gatehouse/link/[A-Za-z0-9_.~-]+`)
)

// Code is the sign-in code: the first run of six or more digits in the
// subject, or else in the text. The test fails if there is none.
func (m Message) Code(t testing.TB) string {
	t.Helper()
	parsed := m.Parse(t)
	for _, s := range []string{parsed.Subject, linkURL.ReplaceAllString(parsed.Text, "")} {
		if found := codeDigits.FindStringSubmatch(s); found != nil {
			return found[1]
		}
	}
	t.Fatalf("smtptest: no code in the mail:\n%s\n%s", parsed.Subject, parsed.Text)
	return ""
}

// Link is the sign-in link in the text. The test fails if there is none.
func (m Message) Link(t testing.TB) string {
	t.Helper()
	text := m.Parse(t).Text
	link := linkURL.FindString(text)
	if link == "" {
		t.Fatalf("smtptest: no link in the mail:\n%s", text)
	}
	return link
}

// Parse reads the message as a mail program does. The test fails if it is not
// well-formed.
func (m Message) Parse(t testing.TB) Mail {
	t.Helper()
	parsed, err := parse(m.Data)
	if err != nil {
		t.Fatalf("smtptest: malformed mail: %v\n%s", err, m.Data)
	}
	return parsed
}

func parse(data []byte) (Mail, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return Mail{}, err
	}
	out := Mail{Header: msg.Header}
	if out.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return Mail{}, err
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return Mail{}, err
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return out, out.add(kind, msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
	}
	return out, out.addParts(multipart.NewReader(msg.Body, params["boundary"]))
}

func (m *Mail) addParts(parts *multipart.Reader) error {
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return err
		}
		if err := m.add(kind, part.Header.Get("Content-Transfer-Encoding"), part); err != nil {
			return err
		}
	}
}

func (m *Mail) add(kind, encoding string, body io.Reader) error {
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	m.Parts = append(m.Parts, kind)
	switch kind {
	case "text/plain":
		m.Text = text
	case "text/html":
		m.HTML = text
	}
	return nil
}
