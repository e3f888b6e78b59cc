package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

type readCloser = io.ReadCloser

type noClose struct{ io.Reader }

func (noClose) Close() error { return nil }

// reference is what docker load calls the image.
func reference(version string) (name.Tag, error) { return name.NewTag("gatehouse:" + version) }

func (r *release) billOf(t target) string {
	return filepath.Join(r.out, fmt.Sprintf("gatehouse_%s_%s.cdx.json", r.version, t))
}

// bill writes what the binary is made of, as the binary itself says.
func (r *release) bill(t target, binary string) error {
	path := r.billOf(t)
	r.made = append(r.made, path)
	out, err := exec.Command("go", "tool", "cyclonedx-gomod", "bin", "-json", "-noserial", "-version", r.version, "-output", path, binary).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bill of materials: %w\n%s", err, out)
	}
	return r.steady(path)
}

// steady takes the time of the run out of a bill, which says nothing of the binary.
func (r *release) steady(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var bill map[string]any
	if err := json.Unmarshal(data, &bill); err != nil {
		return err
	}
	if about, ok := bill["metadata"].(map[string]any); ok {
		about["timestamp"] = r.date.Format("2006-01-02T15:04:05Z")
	}
	delete(bill, "serialNumber")
	if data, err = json.MarshalIndent(bill, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// checksums writes SHA256SUMS, for sha256sum --check.
func (r *release) checksums() error {
	var out strings.Builder
	slices.Sort(r.made)
	for _, path := range r.made {
		hash, err := sum(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s  %s\n", hash, filepath.Base(path))
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(out.String()), 0o644)
}

// statement says from which commit everything was made, in the form of in-toto
// and SLSA. It is unsigned: whoever releases signs it.
func (r *release) statement() error {
	type digest map[string]string
	type named struct {
		Name   string `json:"name,omitempty"`
		URI    string `json:"uri,omitempty"`
		Digest digest `json:"digest"`
	}
	var subjects []named
	slices.Sort(r.made)
	for _, path := range r.made {
		hash, err := sum(path)
		if err != nil {
			return err
		}
		subjects = append(subjects, named{Name: filepath.Base(path), Digest: digest{"sha256": hash}})
	}
	doc := map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            "https://" + product + "/packaging",
				"externalParameters":   map[string]any{"version": r.version},
				"resolvedDependencies": []named{{URI: "git+https://" + product, Digest: digest{"gitCommit": r.commit}}},
			},
			"runDetails": map[string]any{"builder": map[string]any{"id": "https://" + product + "/packaging"}},
		},
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(r.file(fmt.Sprintf("gatehouse_%s.intoto.json", r.version)), append(data, '\n'), 0o644)
}
