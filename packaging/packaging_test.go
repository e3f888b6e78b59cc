package main

import (
	"archive/tar"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// The tests here look at everything but the product itself: a script stands in
// for it. The others build it for this machine, and install and run what is made;
// they need root, as containers and packages do. None is part of make test: nfpm,
// go-containerregistry and Helm take a minute to compile. What needs none of them
// stands in packaged_test.go of the product.

// stand makes a release of a stand-in in a directory of its own.
func stand(t *testing.T, version string) (*release, map[target]string) {
	t.Helper()
	dir := t.TempDir()
	r, err := newRelease(version, "..", filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	r.commit, r.date = strings.Repeat("0", 40), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	binary := filepath.Join(dir, "gatehouse")
	put(t, binary, "#!/bin/sh\necho stand-in\n", 0o755)
	binaries := map[target]string{}
	for _, on := range targets[:3] {
		binaries[on] = binary
		put(t, r.billOf(on), "{}\n", 0o644)
	}
	return r, binaries
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func index(t *testing.T, r *release) v1.ImageIndex {
	t.Helper()
	all, err := layout.ImageIndexFromPath(filepath.Join(r.out, "image"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestImageIsTheSameAgain: two builds have one digest.
func TestImageIsTheSameAgain(t *testing.T) {
	var digests []string
	for range 2 {
		r, binaries := stand(t, "v0.1.0")
		if err := r.image(binaries); err != nil {
			t.Fatal(err)
		}
		d, err := index(t, r).Digest()
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(filepath.Join(r.out, "gatehouse_v0.1.0_image.digest"))
		if err != nil || strings.TrimSpace(string(written)) != d.String() {
			t.Errorf("the digest that is written is %q, %v; want %s", written, err, d)
		}
		digests = append(digests, d.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds: %v", digests)
	}
}

// TestImage: every machine, nobody who is root, nothing but what is needed.
func TestImage(t *testing.T) {
	r, binaries := stand(t, "v0.1.0")
	if err := r.image(binaries); err != nil {
		t.Fatal(err)
	}
	manifest, err := index(t, r).IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var machines []string
	for _, m := range manifest.Manifests {
		machines = append(machines, m.Platform.String())
		img, err := index(t, r).Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		file, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := file.Config
		if c.User != "65532:65532" || file.Architecture != m.Platform.Architecture || c.Healthcheck == nil || !slices.Contains(c.Healthcheck.Test, "status") || c.Labels["org.opencontainers.image.version"] != "v0.1.0" {
			t.Errorf("%s: %+v", m.Platform, c)
		}
		var names []string
		for name, f := range contents(t, img) {
			if f.data != nil {
				names = append(names, name)
			}
			if f.mode&0o6000 != 0 || f.mode&0o022 != 0 && name != "tmp" {
				t.Errorf("%s has mode %o", name, f.mode)
			}
			if f.uid != 0 && name != "data" && name != "config" {
				t.Errorf("%s is nobody's but %d's", name, f.uid)
			}
		}
		slices.Sort(names)
		if want := []string{"etc/gatehouse/Caddyfile", "etc/group", "etc/hosts", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/bin/gatehouse", "usr/share/doc/gatehouse/LICENSE", "usr/share/doc/gatehouse/sbom.cdx.json"}; !slices.Equal(names, want) {
			t.Errorf("the image holds %v", names)
		}
		n, rest := 0, contents(t, img)["etc/ssl/certs/ca-certificates.crt"].data
		for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				t.Error(err)
			}
			n++
		}
		if n < 50 {
			t.Errorf("%d authorities", n)
		}
	}
	if !slices.Equal(machines, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("machines %v", machines)
	}
}

// TestPackages: what is in a Debian package, whose it is, and that it is the same again.
func TestPackages(t *testing.T) {
	hashes := map[string]string{}
	for range 2 {
		r, binaries := stand(t, "v0.1.0-rc.1")
		for on, binary := range binaries {
			if err := r.packages(on, binary); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.made) != 6 {
			t.Errorf("made %v", r.made)
		}
		for _, path := range r.made {
			hash, err := sum(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			if old := hashes[name]; old != "" && old != hash {
				t.Errorf("%s is another one the second time", name)
			}
			hashes[name] = hash
		}
		deb := filepath.Join(r.out, "gatehouse_0.1.0~rc.1-1_amd64.deb")
		if about := run(t, "dpkg-deb", "--info", deb); !strings.Contains(about, "Version: 0.1.0~rc.1-1") || !strings.Contains(about, "Depends: adduser") {
			t.Error(about)
		}
		listing := run(t, "dpkg-deb", "--contents", deb)
		for _, want := range []string{"-rwxr-xr-x root/root", "./usr/bin/gatehouse", "./usr/lib/systemd/system/gatehouse.service", "./etc/gatehouse/Caddyfile", "./usr/share/man/man8/gatehouse.8.gz", "./usr/share/doc/gatehouse/sbom.cdx.json"} {
			if !strings.Contains(listing, want) {
				t.Errorf("%s is not in it:\n%s", want, listing)
			}
		}
	}
	for _, want := range []string{"gatehouse_0.1.0~rc.1-1_arm64.deb", "gatehouse_0.1.0~rc.1-1_armhf.deb", "gatehouse-0.1.0~rc.1-1.x86_64.rpm", "gatehouse-0.1.0~rc.1-1.aarch64.rpm", "gatehouse-0.1.0~rc.1-1.armv7hl.rpm"} {
		if hashes[want] == "" {
			t.Errorf("%s is not made: %v", want, hashes)
		}
	}
}

// TestStatement: checksums and statement name everything with its hash.
func TestStatement(t *testing.T) {
	r, binaries := stand(t, "v0.1.0")
	if err := errors.Join(r.packages(targets[0], binaries[targets[0]]), r.archive(targets[0], binaries[targets[0]]), r.archive(target{"windows", "amd64", ""}, binaries[targets[0]])); err == nil {
		t.Fatal("an archive without its bill of materials is made")
	}
	put(t, r.billOf(target{"windows", "amd64", ""}), "{}", 0o644)
	if err := errors.Join(r.archive(target{"windows", "amd64", ""}, binaries[targets[0]]), r.statement(), r.checksums()); err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = r.out
	if out, err := check.CombinedOutput(); err != nil || !strings.Contains(string(out), "intoto.json: OK") {
		t.Errorf("%v\n%s", err, out)
	}
	var statement struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string
			Digest map[string]string
		}
	}
	data, err := os.ReadFile(filepath.Join(r.out, "gatehouse_v0.1.0.intoto.json"))
	if err == nil {
		err = json.Unmarshal(data, &statement)
	}
	if err != nil || statement.Type != "https://in-toto.io/Statement/v1" || len(statement.Subject) < 4 {
		t.Fatalf("%v\n%s", err, data)
	}
	for _, s := range statement.Subject {
		if hash, err := sum(filepath.Join(r.out, s.Name)); err != nil || hash != s.Digest["sha256"] {
			t.Errorf("%s: %v, %s", s.Name, err, hash)
		}
	}
}

// TestWrongUse says what to write.
func TestWrongUse(t *testing.T) {
	for version, want := range map[string]string{"0.1.0": "write it as in v0.1.0", "v1": "write it as in v0.1.0", "v0.1.0 -X": "write it as in v0.1.0"} {
		if _, err := newRelease(version, "..", filepath.Join(t.TempDir(), "x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", version, err)
		}
	}
	if _, err := newRelease("v0.1.0", "..", t.TempDir()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Error(err)
	}
	if err := new(release).make(chosen("plan9_386")); err == nil || !strings.Contains(err.Error(), "linux_amd64") {
		t.Error(err)
	}
}

type held struct {
	data []byte
	mode int64
	uid  int
}

// contents unpacks an image.
func contents(t *testing.T, img v1.Image) map[string]held {
	t.Helper()
	all := map[string]held{}
	flat := mutate.Extract(img)
	defer flat.Close()
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var data []byte // nil: a directory
		if h.Typeflag == tar.TypeReg {
			if data, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		all[strings.TrimSuffix(h.Name, "/")] = held{data, h.Mode, h.Uid}
	}
}
