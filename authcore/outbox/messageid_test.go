package outbox_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/gmail"
	"github.com/gatehouse-auth/gatehouse/authcore/graph"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// letters has one letter, and words for it.
type letters struct{}

func (letters) Letter(_ store.Tx, e outbox.Entry) (*outbox.Item, error) {
	to := "alice@example.com"
	if who, hasOne := strings.CutPrefix(e.Ref, "of "); hasOne {
		to = who
	}
	return &outbox.Item{Letter: outbox.Letter{To: mustAddress(to), Code: "482913", Lifetime: time.Minute}, Log: "log"}, nil
}

func (letters) Compose(l outbox.Letter) (outbox.Message, error) {
	return outbox.Message{FromAddress: "login@example.org", To: l.To, Subject: "Code", Text: l.Code + "\n", Date: time.Now()}, nil
}

// office is an outbox with its store, and mail systems that stand in for those of
// the world and note the Message-IDs that they see.
type office struct {
	*testing.T
	store   *memstore.Store
	relay   *smtptest.Server
	senders []outbox.Sender

	mu   sync.Mutex
	seen []string
	down bool   // the HTTP APIs
	says string // what they answer
}

func newOffice(t *testing.T) *office {
	o := &office{T: t, store: memstore.New(), relay: smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})}
	web := httptest.NewServer(o)
	t.Cleanup(web.Close)
	o.senders = o.at(web.URL)
	return o
}

// at are a sender by SMTP, and three whose APIs are at url.
func (o *office) at(url string) []outbox.Sender {
	o.Helper()
	provider := oauthtest.Start(o.T, oauthtest.Options{ClientID: "app", ClientSecret: "secret", Scope: "mail"})
	tokens, err := oauth.New(oauth.Config{TokenURL: provider.URL, ClientID: "app", ClientSecret: "secret", Scopes: []string{"mail"}})
	if err != nil {
		o.Fatal(err)
	}
	box := oauth.Mailbox{User: "login@example.org", Tokens: tokens, BaseURL: url}
	var errs [4]error
	senders := make([]outbox.Sender, 4)
	senders[0], errs[0] = smtp.New(smtp.Config{Host: o.relay.Host, Port: o.relay.Port, TLS: smtp.Off})
	senders[1], errs[1] = mailgun.New(mailgun.Config{Domain: "mg.example.org", APIKey: "key-1", BaseURL: url})
	senders[2], errs[2] = gmail.New(box)
	senders[3], errs[3] = graph.New(box)
	if err := errors.Join(errs[:]...); err != nil {
		o.Fatal(err)
	}
	return senders
}

// message is a mail, in words.
func (o *office) message() outbox.Message {
	item, _ := letters{}.Letter(nil, outbox.Entry{})
	m, _ := letters{}.Compose(item.Letter)
	m.MessageID = "abc@example.org"
	return m
}

// ServeHTTP is Mailgun, Gmail and Graph.
func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var id string
	var body struct {
		Raw     string
		Message struct {
			ID string `json:"internetMessageId"`
		}
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "messages.mime"):
		f, _, err := r.FormFile("message")
		if err != nil {
			o.Error(err)
			return
		}
		text, _ := io.ReadAll(f)
		id = o.header(string(text))
	default:
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			o.Error(err)
			return
		}
		text, _ := base64.URLEncoding.DecodeString(body.Raw)
		if id = body.Message.ID; id == "" {
			id = o.header(string(text))
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, strings.Trim(id, "<>"))
	if o.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, o.says)
}

func (o *office) header(text string) string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		o.Error(err)
		return ""
	}
	return m.Header.Get("Message-ID")
}

// ids are the Message-IDs that the mail systems saw, by SMTP too.
func (o *office) ids() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.seen
	for line := range strings.SplitSeq(o.relay.Transcript(), "\n") {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "Message-ID: "); ok {
			all = append(all, strings.Trim(id, "<>"))
		}
	}
	return all
}

// round starts the outbox on what the store has, lets it try each sender once, and
// ends it.
func (o *office) round(add *outbox.Entry, senders ...outbox.Sender) (*outbox.Outbox, []event.Event) {
	o.Helper()
	var heard []event.Event
	tried := make(chan event.Event, 10)
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", 32)))
	if err != nil {
		o.Fatal(err)
	}
	box := outbox.New(outbox.Config{
		Store: o.store, Secrets: keyring.Secrets{Current: secret}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Observe: func(e event.Event) { tried <- e },
		Tell:    func(store.Tx, outbox.Item, []outbox.Try) error { return nil },
	})
	if err := box.Load(o.Context()); err != nil {
		o.Fatal(err)
	}
	if add != nil {
		if err := o.store.Update(o.Context(), func(tx store.Tx) error { return box.Put(tx, add) }); err != nil {
			o.Fatal(err)
		}
		box.Add(add)
	}
	box.Use(&outbox.Means{Mail: senders, Letters: letters{}, Composer: letters{}, Limits: limit.Default()})
	ctx, stop := context.WithCancel(o.Context())
	done := make(chan struct{})
	go func() { box.Run(ctx); close(done) }()
	for range senders {
		heard = append(heard, <-tried)
		if heard[len(heard)-1].Name == event.MailSent {
			break
		}
	}
	stop()
	<-done
	return box, heard
}

func entry(ref string) *outbox.Entry {
	now := time.Now()
	return &outbox.Entry{Ref: ref, At: now, Expires: now.Add(10 * time.Minute), To: "alice@example.com"}
}

// By SMTP, Mailgun, Gmail and Graph, tried twice with a restart between, a mail has
// one Message-ID, at the domain of from.
func TestMessageIDOverRetriesAndFallbacks(t *testing.T) {
	o := newOffice(t)
	o.down = true
	o.relay.Refuse(smtptest.Data, 451)
	o.round(entry("challenge-1"), o.senders...)
	first := o.ids()
	if len(first) != 4 {
		t.Fatalf("four mail systems saw %q", first)
	}
	if !strings.HasSuffix(first[0], "@example.org") || len(first[0]) != 32+len("@example.org") {
		t.Errorf("Message-ID %q", first[0])
	}
	o.round(nil, o.senders...)
	o.down = false
	box, _ := o.round(nil, o.senders...)
	for _, id := range o.ids() {
		if id != first[0] {
			t.Errorf("Message-IDs %q", o.ids())
			break
		}
	}
	sent, err := box.Sent(t.Context(), first[0])
	if err != nil || sent == nil || sent.Ref != "challenge-1" || sent.Log != "log" {
		t.Errorf("%+v, %v", sent, err)
	}
	o.seen = nil
	o.round(entry("challenge-2"), o.senders[1])
	if o.seen[0] == first[0] {
		t.Error("two mails have one Message-ID")
	}
}

// What a mail system puts in the place of our Message-ID is reported, and leads to
// the same challenge.
func TestMessageIDThatASenderReplaces(t *testing.T) {
	const ses = "0102018f2b3c4d5e-1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d-000000"
	for name, c := range map[string]struct {
		sender     int
		says, want string
	}{
		"ses":           {0, "Ok " + ses, ses + "@email.amazonses.com"},
		"another relay": {0, "Ok: queued as 4FzK3x", ""},
		"mailgun":       {1, `{"id":"<20261130.1@mg.example.org>","message":"Queued. Thank you."}`, "20261130.1@mg.example.org"},
		"gmail":         {2, `{"id":"18f2b3c4d5e6f7a8","threadId":"1"}`, "18f2b3c4d5e6f7a8"},
		"graph":         {3, "", ""},
		"no JSON":       {2, "<html>", ""},
		"far too long":  {2, `{"id":"` + strings.Repeat("x", 300) + `"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.says = c.says
			if c.sender == 0 {
				o.relay.RefuseText(smtptest.Data, 250, c.says)
			}
			box, heard := o.round(entry("challenge-1"), o.senders[c.sender])
			ours := o.ids()[0]
			want := c.want
			if want == "" {
				want = ours
			}
			if len(heard) != 1 || heard[0].Name != event.MailSent || heard[0].Message != want {
				t.Fatalf("heard %+v, want %s", heard, want)
			}
			for _, id := range []string{ours, want} {
				if sent, err := box.Sent(t.Context(), id); err != nil || sent == nil || sent.Ref != "challenge-1" || sent.MessageID != ours || sent.Renamed != c.want {
					t.Errorf("%s: %+v, %v", id, sent, err)
				}
			}
		})
	}
}
