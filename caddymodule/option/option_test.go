package option_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
