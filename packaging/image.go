package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user in the image, whose name is in its /etc/passwd.
const nobody = 65532

// images are the targets that the image has.
var images = []target{{"linux", "amd64", ""}, {"linux", "arm64", ""}}

// image makes the container image from binaries, as an OCI layout that skopeo
// and crane push: an index, so that one name serves every machine.
func (r *release) image(binaries map[target]string) error {
	tag, err := reference(r.version)
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	n := 0
	for _, t := range images {
		binary, ok := binaries[t]
		if !ok {
			continue
		}
		img, err := r.imageFor(t, binary)
		if err != nil {
			return err
		}
		n++
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: t.os, Architecture: t.arch}}})
		// What docker load takes, which knows no layout of several machines.
		if err := tarball.WriteToFile(r.file(fmt.Sprintf("gatehouse_%s_image_%s.tar", r.version, t.arch)), tag, img); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	dir := filepath.Join(r.out, "image")
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Println("image", digest)
	return os.WriteFile(r.file(fmt.Sprintf("gatehouse_%s_image.digest", r.version)), []byte(digest.String()+"\n"), 0o644)
}

// imageFor makes the image for one kind of machine. The binary is a layer of its
// own, the last, so that an update moves nothing else.
func (r *release) imageFor(t target, binary string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	bill, err := os.ReadFile(r.billOf(t))
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	caddyfile, err := os.ReadFile("files/Caddyfile.image")
	if err != nil {
		return nil, err
	}
	ground := []entry{
		{name: "data", owner: nobody, mode: 0o700}, {name: "config", owner: nobody, mode: 0o700},
		{name: "etc/gatehouse/Caddyfile", data: caddyfile},
		{name: "etc/group", data: []byte(fmt.Sprintf("root:x:0:\ngatehouse:x:%d:\n", nobody))},
		{name: "etc/hosts", data: []byte("127.0.0.1 localhost\n::1 localhost\n")}, // where the runtime brings none
		{name: "etc/passwd", data: []byte(fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\ngatehouse:x:%[1]d:%[1]d:Gatehouse:/data:/sbin/nologin\n", nobody))},
		{name: "etc/ssl/certs/ca-certificates.crt", data: authorities()},
		{name: "tmp", mode: 0o1777},
		{name: "usr/share/doc/gatehouse/LICENSE", data: license},
	}
	img := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	img = mutate.ConfigMediaType(img, types.DockerConfigJSON)
	for _, layer := range [][]entry{ground, {{name: "usr/bin/gatehouse", data: program, mode: 0o755}, {name: "usr/share/doc/gatehouse/sbom.cdx.json", data: bill}}} {
		data, err := r.layer(layer)
		if err != nil {
			return nil, err
		}
		l, err := tarball.LayerFromOpener(func() (readCloser, error) { return noClose{bytes.NewReader(data)}, nil }, tarball.WithMediaType(types.DockerLayer))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: r.date}, CreatedBy: "gatehouse packaging"}}); err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(img, r.config(img, t))
}

// config is what a container runs, as whom, and how its health is asked.
func (r *release) config(img v1.Image, t target) *v1.ConfigFile {
	old, err := img.ConfigFile()
	if err != nil {
		panic(err) // of a configuration that was made above
	}
	c := old.DeepCopy()
	c.OS, c.Architecture, c.Created = t.os, t.arch, v1.Time{Time: r.date}
	c.Config = v1.Config{
		User: fmt.Sprintf("%[1]d:%[1]d", nobody), WorkingDir: "/data",
		Entrypoint: []string{"/usr/bin/gatehouse"}, Cmd: []string{"run", "--config", "/etc/gatehouse/Caddyfile"},
		Env:          []string{"PATH=/usr/bin", "HOME=/data", "XDG_DATA_HOME=/data", "XDG_CONFIG_HOME=/config"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "443/tcp": {}, "443/udp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		Healthcheck:  &v1.HealthConfig{Test: []string{"CMD", "/usr/bin/gatehouse", "status", "--config", "/etc/gatehouse/Caddyfile"}, Interval: 30 * time.Second, Timeout: 5 * time.Second, StartPeriod: 10 * time.Second, Retries: 3},
		Labels: map[string]string{
			"org.opencontainers.image.title": "Gatehouse", "org.opencontainers.image.description": "Sign-in by email in front of any web app: Caddy with Gatehouse",
			"org.opencontainers.image.source": "https://" + product, "org.opencontainers.image.version": r.version, "org.opencontainers.image.revision": r.commit,
			"org.opencontainers.image.created": r.date.Format(time.RFC3339), "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.documentation": "https://" + product + "/tree/main/docs",
		},
	}
	return c
}

// authorities are Mozilla's, in the version that go.sum has, but for those that
// are trusted with conditions that a file can't say.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}

// entry is a file of a layer, a directory if it has no data.
type entry struct {
	name  string
	data  []byte
	mode  int64 // default: 0o644
	owner int   // default: root
}

// layer packs files and the directories above them.
func (r *release) layer(files []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	seen := map[string]bool{".": true}
	add := func(e entry) error {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: r.date, Uid: e.owner, Gid: e.owner, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if e.data == nil {
			h.Name, h.Typeflag = e.name+"/", tar.TypeDir
		}
		seen[e.name] = true
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(e.data)
		return err
	}
	var above func(dir string) error
	above = func(dir string) error {
		if seen[dir] {
			return nil
		}
		if err := above(filepath.Dir(dir)); err != nil {
			return err
		}
		return add(entry{name: dir, mode: 0o755})
	}
	for _, e := range files {
		if e.mode == 0 {
			e.mode = 0o644
		}
		if err := firstOf(above(filepath.Dir(e.name)), add(e)); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}
