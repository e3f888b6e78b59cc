package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

const product = "github.com/gatehouse-auth/gatehouse"

// build compiles the product for t: without C, paths or the state of the checkout.
func (r *release) build(t target) (string, error) {
	dir := filepath.Join(r.out, "binaries", t.String())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	binary, err := filepath.Abs(filepath.Join(dir, "gatehouse"))
	if err != nil {
		return "", err
	}
	if t.os == "windows" {
		binary += ".exe"
	}
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X "+product+"/caddymodule.release="+r.version, "-o", binary, ".")
	c.Dir = r.root
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOARM="+t.arm, "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not compile: %w\n%s", t, err, out)
	}
	return binary, nil
}

// beside is what stands beside the binary in an archive, by its name in the checkout.
var beside = []string{"LICENSE", "README.md", "CHANGELOG.md", "Caddyfile.example"}

// archive packs the binary for people who unpack it by hand.
func (r *release) archive(t target, binary string) error {
	name := fmt.Sprintf("gatehouse_%s_%s", r.version, t)
	files := []string{binary, r.billOf(t)}
	for _, file := range beside {
		files = append(files, filepath.Join(r.root, file))
	}
	if t.os == "windows" {
		return r.zip(r.file(name+".zip"), files)
	}
	return r.tar(r.file(name+".tar.gz"), name, files)
}

func mode(i int) int64 {
	if i == 0 { // the binary
		return 0o755
	}
	return 0o644
}

func (r *release) tar(path, dir string, files []string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, out.Close()) }()
	zipped := gzip.NewWriter(out)
	w := tar.NewWriter(zipped)
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: dir + "/" + filepath.Base(file), Mode: mode(i), Size: int64(len(data)), ModTime: r.date, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return firstOf(w.Close(), zipped.Close())
}

func (r *release) zip(path string, files []string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, out.Close()) }()
	w := zip.NewWriter(out)
	for _, file := range files {
		part, err := w.CreateHeader(&zip.FileHeader{Name: filepath.Base(file), Method: zip.Deflate, Modified: r.date})
		if err != nil {
			return err
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		_, err = io.Copy(part, in)
		if err = firstOf(err, in.Close()); err != nil {
			return err
		}
	}
	return w.Close()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
