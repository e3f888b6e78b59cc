package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// release is one run.
type release struct {
	version string // v0.1.0
	commit  string
	date    time.Time // of the commit: of every file in what is made
	root    string    // the checkout
	out     string
	made    []string // paths of what is made, for the checksums
}

// target is what a binary runs on.
type target struct{ os, arch, arm string }

func (t target) String() string { return t.os + "_" + t.arch + t.suffix() }

func (t target) suffix() string {
	if t.arm != "" {
		return "v" + t.arm
	}
	return ""
}

var targets = []target{
	{"linux", "amd64", ""}, {"linux", "arm64", ""}, {"linux", "arm", "7"}, {"darwin", "arm64", ""}, {"darwin", "amd64", ""}, {"windows", "amd64", ""},
}

var versions = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func main() {
	version := flag.String("version", "v0.0.0-dev", "the version, as in v0.1.0")
	out := flag.String("out", "../dist/packages", "the directory to make; it must not be there")
	only := flag.String("only", "", "targets to make, as in linux_amd64,linux_arm64 (default: all)")
	flag.Parse()
	r, err := newRelease(*version, "..", *out)
	if err == nil {
		err = r.make(chosen(*only))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func chosen(only string) (all []target) {
	for _, t := range targets {
		if only == "" || strings.Contains(","+only+",", ","+t.String()+",") {
			all = append(all, t)
		}
	}
	return all
}

func newRelease(version, root, out string) (*release, error) {
	if !versions.MatchString(version) {
		return nil, fmt.Errorf("-version %q: write it as in v0.1.0", version)
	}
	if _, err := os.Stat(out); err == nil {
		return nil, fmt.Errorf("%s is there already: name another directory with -out, or delete it", out)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	text, err := exec.Command("git", "-C", root, "log", "-1", "--format=%H %cI").Output()
	if err != nil {
		return nil, fmt.Errorf("which commit this is: %w", err)
	}
	commit, date, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	at, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return nil, err
	}
	return &release{version: version, commit: commit, date: at.UTC(), root: root, out: out}, os.MkdirAll(out, 0o755)
}

// make makes everything for ts.
func (r *release) make(ts []target) error {
	if len(ts) == 0 {
		return errors.New("no such target; there are " + fmt.Sprint(targets))
	}
	binaries := map[target]string{}
	for _, t := range ts {
		fmt.Println("building", t)
		binary, err := r.build(t)
		if err != nil {
			return err
		}
		binaries[t] = binary
		steps := []func(target, string) error{r.bill, r.archive}
		if t.os == "linux" {
			steps = append(steps, r.packages)
		}
		for _, step := range steps {
			if err := step(t, binary); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
		}
	}
	if err := r.image(binaries); err != nil {
		return err
	}
	if err := r.statement(); err != nil {
		return err
	}
	return r.checksums()
}

// file is where something that is made stands.
func (r *release) file(name string) string {
	path := filepath.Join(r.out, name)
	r.made = append(r.made, path)
	return path
}
