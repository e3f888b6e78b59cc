package maildir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/maildir"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

var _ outbox.Sender = (*maildir.Sender)(nil)

func message(t *testing.T, subject string) outbox.Message {
	t.Helper()
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		FromAddress: "login@example.com", To: to, Subject: subject, Text: "482913\n",
		Date: time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC), MessageID: "abc@example.com",
	}
}

func sender(t *testing.T, dir string) *maildir.Sender {
	t.Helper()
	s, err := maildir.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWritesOnePrivateFileForEachMailInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "mails")
	s := sender(t, dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("New touched the machine: %v", err)
	}
	subjects := []string{"first", "second", "third"}
	for _, subject := range subjects {
		if err := s.Send(t.Context(), message(t, subject)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	names := list(t, dir)
	if len(names) != len(subjects) || !slices.IsSorted(names) {
		t.Fatalf("files %v", names)
	}
	for i, name := range names {
		path := filepath.Join(dir, name)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := rfc5322.Encode(message(t, subjects[i]))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) || !strings.HasSuffix(name, ".eml") {
			t.Errorf("%s:\n%s", name, got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestConcurrentMailsGetFilesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	s := sender(t, dir)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := s.Send(t.Context(), message(t, "x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(list(t, dir)); n != 50 {
		t.Errorf("%d files", n)
	}
}

func TestFailuresNameThePath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		wantFault(t, sender(t, dir).Send(t.Context(), message(t, "x")), outbox.SenderDown, dir)
	}
	if _, err := maildir.New(""); err == nil {
		t.Error("New took an empty path")
	}
}

func TestStoppedOrMalformedWritesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantFault(t, sender(t, dir).Send(ctx, message(t, "x")), outbox.SenderDown, "stopped")
	wantFault(t, sender(t, dir).Send(t.Context(), message(t, "x\r\nBcc: m@evil.example")), outbox.Rejected, "Subject")
	if names := list(t, dir); len(names) != 0 {
		t.Errorf("files %v", names)
	}
}

func wantFault(t *testing.T, err error, want outbox.SendFault, words string) {
	t.Helper()
	var failed *outbox.SendError
	if !errors.As(err, &failed) || failed.Fault != want || !strings.Contains(failed.Reason, words) {
		t.Errorf("got %v, want %v with %q", err, want, words)
	}
}
