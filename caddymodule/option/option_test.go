package option_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// A file or variable without a character that can be seen is as good as empty; around
// a true value such characters are a part of it.
func TestSecretOfNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{
		"": "", "\n": "", "\r\n": "", "  \t \n\n": "", "\x00": "", strings.Repeat("\x00", 32): "", "\u200b": "", "\ufeff": "", "\ufeff\r\n": "", "\u200b\u2060 \u00a0\u00ad\n": "",
		"key\n": "key", " key ": " key ", "\u200bkey\x00": "\u200bkey\x00", "\xff\xfe": "\xff\xfe",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		sources := []string{"{file." + file + "}"}
		if !strings.ContainsAny(content, "\x00\r\n") {
			t.Setenv("GATEHOUSE_TEST_SECRET", content)
			sources = append(sources, "{env.GATEHOUSE_TEST_SECRET}")
		}
		for _, source := range sources {
			for name, expand := range map[string]func(option, value string) (string, error){"secret": option.ExpandSecret, "text": option.ExpandText} {
				got, err := expand("password", "a"+source)
				if isNothing := err != nil && strings.Contains(err.Error(), "password: "+source+" resolves to nothing: set") && !strings.Contains(err.Error(), "order mark"); want == "" && !isNothing || want != "" && (err != nil || got != "a"+want) {
					t.Errorf("%q as %s of %s: %q, %v", content, name, source, got, err)
				}
			}
		}
	}
}

// A variable in {$…} that is not set is gone before the line is read: whoever reads the
// error is told so.
func TestMissingValueNamesVariables(t *testing.T) {
	words := option.Block[*[4]string]{Of: "x", Words: []option.Word[*[4]string]{
		option.Text("password {file./run/secrets/smtp}", func(x *[4]string) *string { return &x[0] }),
		option.Text("username mailer", func(x *[4]string) *string { return &x[1] }),
		option.Line("code", func(_ *[4]string, d *caddyfile.Dispenser) error {
			_, err := option.Arguments(d, 3, 3, "code 6 10m 5")
			return err
		}),
	}}
	for text, want := range map[string]string{
		"password {$GATEHOUSE_TEST_NOPE}": "password {file./run/secrets/smtp}", `password "{$GATEHOUSE_TEST_NOPE}"`: "password {file./run/secrets/smtp}",
		"username": "username mailer", "code {$GATEHOUSE_TEST_NOPE} 10m 5": "code 6 10m 5",
	} {
		blocks, err := caddyfile.Parse("Caddyfile", []byte("x {\n"+text+"\n}"))
		if err != nil {
			t.Fatal(err)
		}
		d := caddyfile.NewDispenser(blocks[0].Segments[0])
		d.Next()
		if err := words.ReadLine(d, new([4]string)); err == nil || !strings.Contains(err.Error(), "an environment variable in {$…} that is not set is nothing; write for example\n    "+want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
