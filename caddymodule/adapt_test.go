package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestAdapt compares Caddyfiles with the JSON, warnings or errors that they
// give. An archive holds pairs: name.caddyfile, and name.json or name.error.
func TestAdapt(t *testing.T) { golden(t, "testdata/adapt/*.txtar", adapt) }

// golden compares what comes of each Caddyfile in archives with what is kept
// beside it.
func golden(t *testing.T, pattern string, do func(caddyfile string) (result, text string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive := readTxtar(t, file)
			compare(t, archive, do)
			if *update {
				archive.write(t, file)
			}
		})
	}
}

func compare(t *testing.T, archive *txtar, do func(string) (result, text string)) {
	want := map[string]string{}
	for _, f := range archive.files {
		want[f.name] = f.data
	}
	var got []txtarFile
	for _, f := range archive.files {
		name, ok := strings.CutSuffix(f.name, ".caddyfile")
		if !ok {
			continue
		}
		result, text := do(f.data)
		got = append(got, f, txtarFile{name + result, text})
		if diff := cmp.Diff(want[name+result], text); diff != "" && !*update {
			t.Errorf("%s%s (-want +got, make golden rewrites it):\n%s", name, result, diff)
		}
	}
	archive.files = got
}

// adapt returns what comes of a Caddyfile, and as what it is kept.
func adapt(caddyfile string) (result, text string) {
	body, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return ".error", err.Error() + "\n"
	}
	var config struct {
		Apps struct {
			Gatehouse json.RawMessage `json:"gatehouse"`
			HTTP      struct {
				Servers json.RawMessage `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return ".error", err.Error() + "\n"
	}
	var out bytes.Buffer
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			out.WriteString("warning: " + w.String() + "\n")
		}
	}
	for _, part := range []json.RawMessage{config.Apps.Gatehouse, config.Apps.HTTP.Servers} {
		if part != nil {
			_ = json.Indent(&out, part, "", "\t")
			out.WriteString("\n")
		}
	}
	return ".json", out.String()
}
