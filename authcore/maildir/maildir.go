// Package maildir writes each mail into a file instead of sending it: for
// development, and for programs that take mail from a directory.
//
// Every file is one whole RFC 5322 message with a name that sorts by time and
// ends in .eml, which mail programs open:
//
//	20261121T142500.123456789Z-3vqk5r2jnm.eml
//
// A mail holds a working code and link, so directory and files are readable by
// their owner only.
//
// It keeps nothing but the files.
package maildir

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// Sender writes into one directory. It is safe for concurrent use, also by
// several processes.
type Sender struct {
	dir string
}

// New makes a Sender for dir, a path. It touches nothing: a configuration can
// be checked on any machine. The directory is made, with mode 0700, at the first
// Send; one that is there keeps its mode.
func New(dir string) (*Sender, error) {
	if dir == "" {
		return nil, errors.New("mail dir: the path is missing; write for example mail dir ./mails")
	}
	return &Sender{dir: filepath.Clean(dir)}, nil
}

// Name implements outbox.Sender.
func (s *Sender) Name() string { return "dir " + s.dir }

// Send writes m. A file with its final name is whole. Every failure to write is
// SenderDown and names the path.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return down("stopped", err)
	}
	if err := s.write(data); err != nil {
		return down("mail dir "+s.dir+": "+err.Error()+"; it must be a directory that the user this runs as can write to", err)
	}
	return nil
}

func (s *Sender) write(data []byte) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// CreateTemp opens with mode 0600.
	f, err := os.CreateTemp(s.dir, ".mail-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, fileName(time.Now())))
}

func fileName(now time.Time) string {
	return now.UTC().Format("20060102T150405.000000000Z") + "-" + strings.ToLower(rand.Text()[:10]) + ".eml"
}

func down(reason string, err error) error {
	return &outbox.SendError{Fault: outbox.SenderDown, Reason: reason, Err: err}
}
