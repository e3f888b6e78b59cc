package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// packages makes the Debian and the RPM package for t.
func (r *release) packages(t target, binary string) error {
	for _, p := range []struct {
		format   string
		packager nfpm.Packager
	}{{"deb", deb.Default}, {"rpm", rpm.DefaultRPM}} {
		info, err := r.info(t, binary, p.format)
		if err != nil {
			return err
		}
		if err := nfpm.PrepareForPackager(info, p.format); err != nil {
			return err
		}
		var out bytes.Buffer
		if err := p.packager.Package(info, &out); err != nil {
			return fmt.Errorf("%s: %w", p.format, err)
		}
		if err := os.WriteFile(r.file(p.packager.ConventionalFileName(info)), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const summary = `sign-in by email in front of web apps
 Gatehouse is the Caddy web server with a module that puts sign-in by email in
 front of sites: a code and a link in one mail, no password. It guards sites
 that Caddy serves, answers other proxies (nginx, Traefik, HAProxy, Envoy) on
 the paths of Authelia and oauth2-proxy, and is an OpenID provider.`

// info says what is in a package, and what happens around it.
func (r *release) info(t target, binary, format string) (*nfpm.Info, error) {
	work := filepath.Join(r.out, "work", format+"-"+t.String())
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	put := func(name string, data []byte) (string, error) {
		path := filepath.Join(work, name)
		return path, os.WriteFile(path, data, 0o644)
	}
	changes, err := put("changelog.gz", zipped(r.changes()))
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile("files/gatehouse.8")
	if err != nil {
		return nil, err
	}
	manual, err := put("gatehouse.8.gz", zipped(bytes.ReplaceAll(page, []byte("VERSION"), []byte(r.version))))
	if err != nil {
		return nil, err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "gatehouse", Arch: t.arch + t.arm, Platform: "linux", Version: strings.TrimPrefix(r.version, "v"), Release: "1",
		Section: "httpd", Priority: "optional", Maintainer: "Gatehouse <gatehouse-auth@users.noreply.github.com>", Vendor: "Gatehouse",
		Homepage: "https://" + product, License: "Apache-2.0", Description: summary, MTime: r.date, DisableGlobbing: true,
	})
	at := func(source, destination string, mode os.FileMode) *files.Content {
		return &files.Content{Source: source, Destination: destination, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: r.date}}
	}
	config := at("files/Caddyfile", "/etc/gatehouse/Caddyfile", 0o644)
	config.Type = files.TypeConfigNoReplace
	info.Contents = files.Contents{
		at(binary, "/usr/bin/gatehouse", 0o755),
		at("files/gatehouse.service", "/usr/lib/systemd/system/gatehouse.service", 0o644),
		config,
		at(manual, "/usr/share/man/man8/gatehouse.8.gz", 0o644),
		at(r.billOf(t), "/usr/share/doc/gatehouse/sbom.cdx.json", 0o644),
	}
	info.Scripts = nfpm.Scripts{PostInstall: "files/after-install.sh", PreRemove: "files/before-remove.sh", PostRemove: "files/after-remove.sh"}
	if format == "rpm" {
		info.Contents = append(info.Contents, at(filepath.Join(r.root, "LICENSE"), "/usr/share/licenses/gatehouse/LICENSE", 0o644))
		info.Scripts = nfpm.Scripts{PreInstall: "files/rpm-before-install.sh", PostInstall: "files/rpm-after-install.sh", PreRemove: "files/rpm-before-remove.sh", PostRemove: "files/rpm-after-remove.sh"}
		info.Depends = []string{"shadow-utils"}
		info.RPM.Compression = "gzip"
		info.RPM.Group = "System Environment/Daemons"
		info.RPM.BuildHost = "localhost"
		info.RPM.Summary = "Sign-in by email in front of web apps"
		return info, nil
	}
	info.License = "" // Debian has it in copyright alone
	info.Depends = []string{"adduser"}
	info.Recommends = []string{"systemd"}
	info.Contents = append(info.Contents,
		at("files/copyright", "/usr/share/doc/gatehouse/copyright", 0o644),
		at(changes, "/usr/share/doc/gatehouse/changelog.Debian.gz", 0o644),
		at("files/lintian-overrides", "/usr/share/lintian/overrides/gatehouse", 0o644))
	return info, nil
}

// changes is Debian's changelog: the one that people read is CHANGELOG.md.
func (r *release) changes() []byte {
	return fmt.Appendf(nil, "gatehouse (%s-1) unstable; urgency=medium\n\n  * Version %[1]s. What is new:\n    https://%s/blob/%s/CHANGELOG.md\n\n -- Gatehouse <gatehouse-auth@users.noreply.github.com>  %s\n",
		strings.Replace(strings.TrimPrefix(r.version, "v"), "-", "~", 1), product, r.version, r.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}
