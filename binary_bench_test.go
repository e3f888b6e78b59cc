package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const stockCaddy = `package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
`

// BenchmarkBinary compares the size of the stripped binary with that of Caddy
// with its own modules alone.
func BenchmarkBinary(b *testing.B) {
	var ours, stock int64
	for b.Loop() {
		ours, stock = binarySize(b, "."), stockSize(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours)/1e6, "MB")
	b.ReportMetric(float64(ours-stock)/1e6, "MB-above-caddy")
}

func stockSize(b *testing.B) int64 {
	b.Helper()
	// In here, so that it is built of the same versions.
	if err := os.MkdirAll("dist", 0o755); err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("dist", "caddy") //nolint:usetesting // in the module
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(stockCaddy), 0o600); err != nil {
		b.Fatal(err)
	}
	return binarySize(b, "./"+dir)
}

func binarySize(b *testing.B, pkg string) int64 {
	b.Helper()
	out := filepath.Join(b.TempDir(), "binary")
	if text, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
