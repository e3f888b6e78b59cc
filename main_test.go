package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/gatehouse-auth/gatehouse/caddymodule"
)

// TestMain lets the test binary be the command itself, for tests that run it, and
// the command with one file after the other until one is refused.
func TestMain(m *testing.M) {
	if files := os.Getenv("GATEHOUSE_TEST_FILES"); files != "" {
		arrange()
		for file := range strings.SplitSeq(files, "\n") {
			fmt.Println(file)
			os.Args = append(os.Args[:len(os.Args)-1:len(os.Args)-1], file)
			caddycmd.Main()
		}
		return
	}
	if os.Getenv("GATEHOUSE_TEST_COMMAND") != "" {
		main()
		if os.Getenv("GATEHOUSE_TEST_COMMAND") == "gc" {
			fmt.Println("gogc", debug.SetGCPercent(100))
		}
		return
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	dir := t.TempDir()
	c.Env = append(os.Environ(), "GATEHOUSE_TEST_COMMAND=1", "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	out, err := c.CombinedOutput()
	return string(out), err
}

// areValid has "validate" take files, one after the other in one process: most of
// what a process costs is its start.
func areValid(t *testing.T, files []string, args ...string) {
	t.Helper()
	t.Setenv("GATEHOUSE_TEST_FILES", strings.Join(files, "\n"))
	out, err := command(t, slices.Concat([]string{"validate", "--adapter", "caddyfile"}, args, []string{"--config", "FILE"})...)
	if n := strings.Count(out, "Valid configuration\n"); err != nil || n != len(files) || strings.Contains(out, "not formatted") {
		t.Errorf("%d of %d files are valid, %v\n%s", n, len(files), err, out)
	}
}

// TestValidate: what validate passes, a start takes.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, people, odd := write("secret", strings.Repeat("s", 32)), write("people", "alice@example.com\n"), write("odd", "alice\n")
	pages := filepath.Join(dir, "pages")
	if err := os.Mkdir(pages, 0o700); err != nil {
		t.Fatal(err)
	}
	write("pages/login.html", "{{define")
	for name, test := range map[string]struct{ global, site, want, offline string }{
		"good":               {"secret {file." + secret + "}", "app.example.com {\ngatehouse file:" + people + "\nrespond ok\n}", "", ""},
		"without Gatehouse":  {"-", "app.example.com {\nrespond ok\n}", "", ""},
		"hidden pages":       {"", "app.example.com {\ntry_files {path} =404\ngatehouse any\nfile_server\n}", "gatehouse_first", "gatehouse_first"},
		"no host":            {"", ":8080 {\ngatehouse any\nrespond ok\n}", "under no host name", "under no host name"},
		"no file of secret":  {"secret {file." + dir + "/none}", "app.example.com {\ngatehouse any\nrespond ok\n}", "secret", ""},
		"a short secret":     {"secret {file." + people + "}", "app.example.com {\ngatehouse any\nrespond ok\n}", "32 bytes", ""},
		"no list":            {"", "app.example.com {\ngatehouse file:" + dir + "/none\nrespond ok\n}", "lists of people", ""},
		"a line of a list":   {"", "app.example.com {\ngatehouse file:" + odd + "\nrespond ok\n}", "odd", ""},
		"no logo":            {"brand Example {\nlogo " + dir + "/none.png\n}", "app.example.com {\ngatehouse any\nrespond ok\n}", "none.png", ""},
		"a bad template":     {"brand Example {\npages " + pages + "\n}", "app.example.com {\ngatehouse any\nrespond ok\n}", "login.html", ""},
		"a database's port":  {"secret {file." + secret + "}\nstore postgres \"host=localhost user=x dbname=x port=notaport\"", "app.example.com {\ngatehouse any\nrespond ok\n}", "store postgres: the address of the database has a port that is none", ""},
		"no database":        {"secret {file." + secret + "}\nstore postgres {file." + people + "}", "app.example.com {\ngatehouse any\nrespond ok\n}", "store postgres: this is no address of a database", ""},
		"a database's TLS":   {"secret {file." + secret + "}\nstore postgres postgres://x:x@localhost/x?sslrootcert=" + dir + "/none", "app.example.com {\ngatehouse any\nrespond ok\n}", "says of TLS can't be used", ""},
		"a good database":    {"secret {file." + secret + "}\nstore postgres postgres://x:x@localhost/x", "app.example.com {\ngatehouse any\nrespond ok\n}", "", ""},
		"a mistake of Caddy": {"", "app.example.com {\ngatehouse any\nrespnd ok\n}", "respnd", "respnd"},
	} {
		global := "{\n}\n"
		if test.global != "-" {
			global = "{\ngatehouse {\nmail log\n" + test.global + "\n}\n}\n"
		}
		file := write("Caddyfile", global+test.site)
		for _, offline := range []bool{false, true} {
			args, want := []string{"validate", "--config", file}, test.want
			if offline {
				args, want = append(args, "--offline"), test.offline
			}
			out, err := command(t, args...)
			if (err == nil) != (want == "") || !strings.Contains(out, want) || strings.Contains(out, "Valid configuration") != (want == "") {
				t.Errorf("%s, offline %v: %v, want %q:\n%s", name, offline, err, want, out)
			}
		}
	}
}

// TestVersion: the version is ours and Caddy's.
func TestVersion(t *testing.T) {
	for _, word := range []string{"version", "--version"} {
		out, err := command(t, word)
		if err != nil || !regexp.MustCompile(`^Gatehouse \S+, Caddy \S+\n$`).MatchString(out) {
			t.Errorf("%s, %v: %q", word, err, out)
		}
	}
}

// TestConvertedIsValid: what convert writes can be started with as it is. Its
// golden files are Caddyfiles with the notes as comments.
func TestConvertedIsValid(t *testing.T) {
	all, err := filepath.Glob("convert/testdata/*/*.want")
	if err != nil || len(all) < 40 {
		t.Fatalf("%d configurations: %v", len(all), err)
	}
	areValid(t, all)
}

// TestConvert is the command as people use it: exit codes, what goes where, and
// the mistakes that they make.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	clean := filepath.Join(dir, "clean.cfg")
	text := "provider = \"google\"\nclient_secret = \"S3CRET\"\nemail_domains = [\"example.com\"]\nupstreams = [\"http://127.0.0.1:3000\"]\nredirect_url = \"https://app.example.com/oauth2/callback\"\n"
	if err := os.WriteFile(clean, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"oauth2-proxy " + clean, 0, "gatehouse *@example.com"},
		{"authelia convert/testdata/authelia/lite.yml", 3, "lite.yml:29: access_control.rules.3.policy: two_factor: there is one factor here"},
		{"authelia " + dir + "/none.yml", 1, "no such file"},
		{"authelia " + clean, 1, "clean.cfg: it is no YAML document with keys"},
		{"authelia", 2, "gatehouse convert authelia|oauth2-proxy <file>"},
		{"keycloak " + clean, 2, "gatehouse convert authelia|oauth2-proxy <file>"},
		{"oauth2-proxy --people staff " + clean, 2, "write addresses"},
		{"oauth2-proxy --people file:/{env.HOME} " + clean, 2, "write addresses"},
		{"oauth2-proxy --nonsense " + clean, 2, "unknown flag"},
		{"oauth2-proxy --host app.example.com:8443 " + clean, 2, "write a host name alone"},
		{"oauth2-proxy --host= " + clean, 2, "write a host name alone"},
		{"oauth2-proxy --one-factor " + clean, 2, "--one-factor is for a configuration of authelia"},
		{"authelia --host app.example.com convert/testdata/authelia/lite.yml", 2, "--host is for a configuration of oauth2-proxy"},
	} {
		out, err := command(t, append([]string{"convert"}, strings.Fields(c.args)...)...)
		code := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "S3CRET") {
			t.Errorf("convert %s: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out)
		}
	}
}

// TestGarbageCollection: the binary collects at 200 %, unless it is told.
func TestGarbageCollection(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"": "200", "GOGC=100": "100", "GOGC=off": "-1"} {
		c := exec.Command(self)
		c.Env = append(os.Environ(), "GATEHOUSE_TEST_COMMAND=gc", "GOGC=", env)
		out, err := c.CombinedOutput()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "gogc "+want) {
			t.Errorf("with %q: %v %s, want %s", env, err, out, want)
		}
	}
}

func TestCommands(t *testing.T) {
	help, err := command(t, "help")
	if err != nil {
		t.Fatal(err, help)
	}
	for _, want := range []string{"gatehouse [command]", "run ", "validate ", "reload ", "sessions ", "why ", "doctor "} {
		if !strings.Contains(help, want) {
			t.Errorf("help does not show %q:\n%s", want, help)
		}
	}
	// Ours come first, each in a group; Caddy's come after.
	ours, caddys, found := strings.Cut(help, "\nThe server (Caddy's commands):\n")
	if !found || strings.Contains(help, "Additional Commands") {
		t.Errorf("help is not arranged:\n%s", help)
	}
	for _, c := range caddymodule.Commands() {
		line := "\n  " + c.Name + " "
		if !strings.Contains(ours, line) || strings.Contains(caddys, line) {
			t.Errorf("%s stands in no group of ours:\n%s", c.Name, help)
		}
	}
	for _, title := range []string{"\nWho gets in, and who is in:\n  admit ", "\nHow it runs:\n  doctor ", "\nSet it up:\n  apps ", "\nState and keys:\n  export "} {
		if !strings.Contains(ours, title) {
			t.Errorf("no %q:\n%s", title, help)
		}
	}
	for _, name := range []string{"run", "validate", "reload", "help", "completion"} {
		if !strings.Contains(caddys, "\n  "+name+" ") {
			t.Errorf("%s is not among Caddy's:\n%s", name, help)
		}
	}
	if below, err := command(t, "why", "--help"); err != nil || strings.Contains(below, "How it runs") {
		t.Errorf("%v\n%s", err, below)
	}
	for _, gone := range []string{"upgrade", "add-package", "remove-package"} {
		if strings.Contains(help, gone) {
			t.Errorf("help shows %s", gone)
		}
		if out, err := command(t, gone); err == nil {
			t.Errorf("%s is a command: %s", gone, out)
		}
	}
}

func TestExampleIsValidAndFormatted(t *testing.T) {
	for _, args := range [][]string{{"validate", "--config", "Caddyfile.example"}, {"fmt", "--diff", "Caddyfile.example"}} {
		if out, err := command(t, args...); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
	adapts(t, "Caddyfile.example", read(t, "Caddyfile.example"))
	files := []string{"examples/compose/Caddyfile", "examples/tls/Caddyfile", "packaging/files/Caddyfile", "packaging/files/Caddyfile.image"}
	areValid(t, files)
	for _, file := range files {
		adapts(t, file, read(t, file))
	}
}

// TestSnippetsAdapt holds every Caddyfile in the documentation.
func TestSnippetsAdapt(t *testing.T) {
	snippet := regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range append(files, "README.md") {
		for _, m := range snippet.FindAllSubmatch(read(t, file), -1) {
			adapts(t, file, m[1])
			count++
		}
	}
	if count == 0 {
		t.Error("no snippet was found")
	}
}

// TestRecipesAreValid has "validate" take the lines of docs/apps.md, as a start would.
func TestRecipesAreValid(t *testing.T) {
	recipes := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllSubmatch(read(t, "docs/apps.md"), -1)
	if len(recipes) < 20 {
		t.Errorf("docs/apps.md has %d recipes", len(recipes))
	}
	var files []string
	for i, m := range recipes {
		files = append(files, filepath.Join(t.TempDir(), fmt.Sprintf("recipe%d", i)))
		if err := os.WriteFile(files[i], m[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	areValid(t, files, "--offline")
}

func adapts(t *testing.T, name string, text []byte) {
	t.Helper()
	_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
	for _, w := range warnings {
		t.Errorf("%s: %s\n%s", name, w, text)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// builder is what xcaddy.Builder reads, and what we tell about ourselves.
type builder struct {
	CaddyVersion string `json:"caddy_version"`
	Plugins      []struct {
		ModulePath string `json:"module_path"`
		Version    string `json:"version,omitempty"`
	} `json:"plugins"`
	BuildFlags string `json:"build_flags,omitempty"`
	Caddy      struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Modules     []string `json:"modules"`
		License     string   `json:"license"`
		Go          string   `json:"go"`
	} `json:"caddy"`
}

func TestXcaddyFile(t *testing.T) {
	var b builder
	d := json.NewDecoder(bytes.NewReader(read(t, "xcaddy.json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	gomod := string(read(t, "go.mod"))
	for _, want := range []string{"\tgithub.com/caddyserver/caddy/v2 " + b.CaddyVersion + "\n", "\ngo " + b.Caddy.Go + "\n"} {
		if !strings.Contains(gomod, want) {
			t.Errorf("xcaddy.json says %q, go.mod does not", strings.TrimSpace(want))
		}
	}
	if len(b.Plugins) != 1 || b.Plugins[0].ModulePath != "github.com/gatehouse-auth/gatehouse/caddymodule" {
		t.Errorf("plugins: %+v", b.Plugins)
	}
	var ours []string
	for _, id := range caddy.Modules() {
		if slices.ContainsFunc(strings.Split(id, "."), func(label string) bool { return strings.HasPrefix(label, "gatehouse") }) {
			ours = append(ours, id)
		}
	}
	if !slices.Equal(ours, b.Caddy.Modules) {
		t.Errorf("xcaddy.json lists the modules %v, there are %v", b.Caddy.Modules, ours)
	}
}
