package caddymodule

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPagesExportAndPreview(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "own")
	run := func(ctx context.Context, out io.Writer, args ...string) error {
		c := new(cobra.Command)
		for _, known := range Commands() {
			if known.Name == "pages" {
				known.CobraFunc(c)
			}
		}
		c.SetArgs(args)
		c.SetOut(out)
		c.SilenceErrors, c.SilenceUsage = true, true
		return c.ExecuteContext(ctx)
	}
	var said strings.Builder
	if err := run(t.Context(), &said, "export", dir); err != nil || !strings.Contains(said.String(), "pages "+dir) {
		t.Fatalf("%v\n%s", err, said.String())
	}
	t.Chdir(filepath.Dir(dir))
	said.Reset()
	if err := run(t.Context(), &said, "export", "other"); err != nil || !strings.Contains(said.String(), "pages "+filepath.Join(filepath.Dir(dir), "other")) {
		t.Errorf("a directory below the current one: %v\n%s", err, said.String())
	}
	if err := run(t.Context(), io.Discard, "export", dir); err == nil {
		t.Error("a second export overwrites the first")
	}
	config := filepath.Join(t.TempDir(), "Caddyfile")
	text := "{\n\tgatehouse {\n\t\tmail log\n\t\tbrand \"Export & Co\" {\n\t\t\tpages " + dir + "\n\t\t}\n\t}\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, writer, "preview", "--listen", "localhost:0", "--config", config)
		writer.Close()
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(<-done)
	}
	page, err := http.Get(strings.TrimPrefix(strings.TrimSpace(line), "Open ") + "page/0?lang=de")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(page.Body)
	page.Body.Close()
	if err != nil || !strings.Contains(string(body), "Anmelden – Export &amp; Co") {
		t.Errorf("%v\n%s", err, body)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if err := run(t.Context(), io.Discard, "preview", "--config", filepath.Join(dir, "none")); err == nil {
		t.Error("a preview of a configuration that is not there")
	}
}
