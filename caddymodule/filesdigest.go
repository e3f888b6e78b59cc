package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// Caddy does nothing at a reload whose configuration is the one that runs. So the
// Caddyfile's adapter puts a digest of the files into it that are read at the start:
// when one has changed, the configuration has, too. In JSON nobody does that, and
// the command reload says so.

// namedFile finds, in a configuration, files with secrets and certificates.
var namedFile = regexp.MustCompile(`\{file\.([^{}"]+)\}|"(?:ca|service_account)":\s*"([^"{}]+)"`)

// namedIcon finds the picture of a site, which no global option names.
var namedIcon = regexp.MustCompile(`"icon":\s*"`)

// filesNamed are the files that a configuration names and that are read at the start:
// those of the brand, and others, which may hold secrets. Lists of people are not
// among them: they are read whenever they change.
func filesNamed(app *App, text []byte) (brand, others []string) {
	for _, m := range namedFile.FindAllSubmatch(text, -1) {
		others = append(others, string(m[1])+string(m[2]))
	}
	return app.Brand.look().Files(), others
}

// mostRead bounds what is read of a file: more is no logo and no template.
const mostRead = 1 << 20

// digestFiles is empty where no file is there. What can't be read is as if it were
// none: the start says what is wrong with it. One that does not answer is an error at
// once, or each would be waited for. A file that may hold a secret counts by its size
// and times, so that nobody learns of it by guessing.
func digestFiles(app *App, text []byte) (string, error) {
	brand, others := filesNamed(app, text)
	sum, found := sha256.New(), false
	for _, path := range brand {
		is, err := digestInto(sum, path)
		if err != nil {
			return "", fmt.Errorf("brand: %w", err)
		}
		found = found || is
	}
	for _, path := range others {
		switch info, err := files.Stat(path); {
		case err == nil:
			found = true
			fmt.Fprintf(sum, "%q %d %d %d\n", path, info.Size(), info.ModTime().UnixNano(), files.Changed(info).UnixNano())
		case errors.Is(err, files.ErrSilent):
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	if !found {
		return "", nil
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// digestInto adds the name and content of a file, if it is there.
func digestInto(sum io.Writer, path string) (found bool, err error) {
	info, err := files.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		found = true
		fmt.Fprintf(sum, "%q\n", path)
		var content []byte
		content, err = files.Read(path, mostRead)
		_, _ = sum.Write(content)
	}
	if errors.Is(err, files.ErrSilent) {
		return found, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// digestIcon does for the picture of a site what digestFiles does for the global
// options.
func (g *Gate) digestIcon() error {
	sum := sha256.New()
	found, err := digestInto(sum, g.Icon)
	if found {
		g.IconDigest = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	if err != nil {
		return fmt.Errorf("icon %w", err)
	}
	return nil
}

// TellingReload has Caddy's command reload say what it can't know of: that files
// which JSON names may have changed.
func TellingReload(reload *cobra.Command) {
	caddys := reload.RunE
	reload.Long += `

A change of a logo, template, catalog or secret in a file is one of the Caddyfile
that names it. With a configuration in JSON, write --force after it.`
	reload.RunE = func(cmd *cobra.Command, args []string) error {
		if err := caddys(cmd, args); err != nil {
			return err
		}
		file, _ := cmd.Flags().GetString("config")
		adapter, _ := cmd.Flags().GetString("adapter")
		if force, _ := cmd.Flags().GetBool("force"); force || file == "-" {
			return nil
		}
		text, _, adapter, err := caddycmd.LoadConfig(file, adapter)
		if err != nil || adapter != "" {
			return nil
		}
		var read struct {
			Apps struct{ Gatehouse json.RawMessage }
		}
		app := new(App)
		if json.Unmarshal(text, &read) != nil || json.Unmarshal(read.Apps.Gatehouse, app) != nil {
			return nil // no Gatehouse in it: else it would not have been loaded
		}
		if brand, others := filesNamed(app, read.Apps.Gatehouse); len(brand)+len(others) > 0 || namedIcon.Match(text) {
			fmt.Fprintln(cmd.ErrOrStderr(), "This configuration is JSON. If it has not changed, nothing was reloaded: after a change of a file that it names (logo, templates, secrets), write --force.")
		}
		return nil
	}
}
