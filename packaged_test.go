package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What is packed as it is written is looked at here; what packs it, and what it is
// then, in the module packaging, whose tests take a minute to compile.

// TestUnit: systemd takes the unit, and finds little that it exposes.
func TestUnit(t *testing.T) {
	analyze := func(unit string, args ...string) (string, error) {
		path := filepath.Join(t.TempDir(), "gatehouse.service")
		if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", append(args, path)...).CombinedOutput()
		return string(out), err
	}
	const most = "--threshold=29" // an exposure of 2.9
	unit := strings.ReplaceAll(string(read(t, "packaging/files/gatehouse.service")), "/usr/bin/gatehouse ", "/bin/true ")
	if out, err := analyze(unit, "verify", "--man=no"); err != nil || strings.Contains(out, "gatehouse.service:") {
		t.Error(err, out)
	}
	if out, err := analyze(unit, "security", "--offline=yes", most); err != nil {
		t.Error(err, out)
	}
	if _, err := analyze("[Service]\nExecStart=/bin/true\n", "security", "--offline=yes", most); err == nil {
		t.Error("a unit without any hardening passes too: the threshold holds nothing")
	}
}

// TestCompose: the app is reached through the gate alone, and Gatehouse may do
// little. Words that are not Compose's, or not expected here, are an error.
func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image       string
			Restart     string
			Ports       []string
			Volumes     []string
			ReadOnly    bool `yaml:"read_only"`
			Tmpfs       []string
			CapDrop     []string `yaml:"cap_drop"`
			SecurityOpt []string `yaml:"security_opt"`
			DependsOn   []string `yaml:"depends_on"`
		}
		Volumes map[string]*struct{}
	}
	d := yaml.NewDecoder(bytes.NewReader(read(t, "examples/compose/compose.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	ours := file.Services["gatehouse"]
	if len(file.Services["app"].Ports) > 0 || !ours.ReadOnly || !slices.Equal(ours.CapDrop, []string{"ALL"}) || len(ours.SecurityOpt) == 0 {
		t.Errorf("%+v", file.Services)
	}
	for name, s := range file.Services {
		for _, port := range s.Ports {
			if name != "gatehouse" && !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s can be reached past the gate: %s", name, port)
			}
		}
		for _, on := range s.DependsOn {
			if file.Services[on].Image == "" {
				t.Errorf("%s depends on %s, which is none", name, on)
			}
		}
		for _, v := range s.Volumes {
			if from, _, _ := strings.Cut(v, ":"); strings.HasPrefix(from, "./") {
				if _, err := os.Stat(filepath.Join("examples/compose", from)); err != nil {
					t.Error(err)
				}
			} else if _, ok := file.Volumes[from]; !ok {
				t.Errorf("no volume %s", from)
			}
		}
	}
}
