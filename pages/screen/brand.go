package screen

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
	"github.com/gatehouse-auth/gatehouse/internal/files"
	"github.com/gatehouse-auth/gatehouse/pages/screen/accent"
)

// Brand is how a site presents itself. The zero value is Gatehouse's own look,
// under the name of the host.
type Brand struct {
	Name     string // empty: the host
	Logo     string // file: PNG, JPEG, WebP or SVG, at most 256 KiB; empty for none
	LogoDark string // the same for dark pages; empty: Logo
	Accent   string // colour of buttons and links as #rrggbb; empty: Gatehouse's
	Support  string // address for help, empty for none
	Pages    string // directory with templates and catalogs of one's own, empty for none
}

// Files are those that NewLook reads, if they are there: the logos, and the templates
// and catalogs in Pages.
func (b Brand) Files() (all []string) {
	for _, logo := range []string{b.Logo, b.LogoDark} {
		if logo != "" {
			all = append(all, logo)
		}
	}
	if b.Pages == "" {
		return all
	}
	names, _ := templateNames()
	for _, name := range names {
		all = append(all, filepath.Join(b.Pages, filepath.FromSlash(name)))
	}
	catalogs, _ := fs.Glob(files.Dir(b.Pages, maxTemplate), "locales/*.json")
	for _, name := range catalogs {
		all = append(all, filepath.Join(b.Pages, filepath.FromSlash(name)))
	}
	return all
}

// MaxTitle bounds what a site or app is called, and maxName what a brand is, in runes:
// they stand in subjects and on buttons.
const (
	MaxTitle = 64
	maxName  = 60
)

// Check looks at what needs no file: all but Logo and Pages, which NewLook reads.
func (b Brand) Check() error {
	var problems []error
	if err := rfc5322.CheckPhrase("name", b.Name); err != nil {
		problems = append(problems, fmt.Errorf("brand: %w", err))
	} else if utf8.RuneCountInString(b.Name) > maxName {
		problems = append(problems, fmt.Errorf("brand: the name has more than %d characters", maxName))
	}
	if b.LogoDark != "" && b.Logo == "" {
		problems = append(problems, errors.New("brand: logo_dark is for dark pages alone; name the logo of the others, too"))
	}
	if b.Support != "" {
		if _, err := address.Parse(b.Support); err != nil {
			problems = append(problems, fmt.Errorf("brand: support %q: %w", b.Support, err))
		}
	}
	if b.Accent != "" {
		if _, _, err := accent.Of(b.Accent); err != nil {
			problems = append(problems, fmt.Errorf("brand: accent %w", err))
		}
	}
	return errors.Join(problems...)
}
