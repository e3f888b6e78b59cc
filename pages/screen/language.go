package screen

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

//go:embed locales/*.json
var builtinCatalogs embed.FS

// languages are the catalogs in use, English first.
type languages struct {
	all     []*Catalog
	matcher language.Matcher
}

// ownCatalogs are those that come with Gatehouse. A test checks them.
var ownCatalogs = sync.OnceValues(func() (map[string]*Catalog, error) {
	found := map[string]*Catalog{}
	err := readCatalogs(builtinCatalogs, found)
	return found, err
})

// loadLanguages reads the catalogs that come with Gatehouse, and those in
// extra, whose texts replace theirs or add to them. extra may be nil.
func loadLanguages(extra fs.FS) (*languages, error) {
	builtin, err := ownCatalogs()
	if err != nil {
		return nil, err
	}
	found, added := maps.Clone(builtin), map[string]*Catalog{}
	if extra != nil {
		if err := readCatalogs(extra, added); err != nil {
			return nil, err
		}
	}
	var problems []error
	for lang, c := range added {
		c.describe(builtin)
		problems = append(problems, c.check(builtin["en"]))
		c.complete(builtin)
		found[lang] = c
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	l := &languages{all: slices.Collect(maps.Values(found))}
	slices.SortFunc(l.all, func(a, b *Catalog) int { return strings.Compare(a.order(), b.order()) })
	tags := make([]language.Tag, len(l.all))
	for i, c := range l.all {
		tags[i] = c.tag
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

// Languages are those that pages speak, as BCP 47 writes them.
func (l *Look) Languages() []string {
	tags := make([]string, len(l.languages.all))
	for i, c := range l.languages.all {
		tags[i] = c.Lang()
	}
	return tags
}

// order sorts English, which is the one to fall back on, first.
func (c *Catalog) order() string {
	if c.Lang() == "en" {
		return ""
	}
	return c.Lang()
}

func readCatalogs(fsys fs.FS, into map[string]*Catalog) error {
	files, err := fs.Glob(fsys, "locales/*.json")
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return fmt.Errorf("reading the catalog %s: %w", path.Base(file), err)
		}
		c, err := parseCatalog(file, data)
		if err != nil {
			return err
		}
		into[c.Lang()] = c
	}
	return nil
}

// maxLanguages bounds what is looked at of a header: nobody speaks more.
const maxLanguages = 256

// choose finds the catalog for what was asked for explicitly (languages by
// spaces, as OpenID Connect's ui_locales), else for the browser's languages.
func (l *languages) choose(asked, accept string) *Catalog {
	for tag := range strings.FieldsSeq(asked[:min(len(asked), maxLanguages)]) {
		if t, err := language.Parse(tag); err == nil {
			if c, ok := l.match(t); ok {
				return c
			}
		}
	}
	if len(accept) > maxLanguages {
		accept = accept[:max(strings.LastIndexByte(accept[:maxLanguages], ','), 0)]
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err == nil && len(tags) > 0 {
		if c, ok := l.match(tags...); ok {
			return c
		}
	}
	return l.all[0]
}

func (l *languages) match(tags ...language.Tag) (*Catalog, bool) {
	_, i, confidence := l.matcher.Match(tags...)
	return l.all[i], confidence > language.No
}

// Choose finds the language of an answer, see languages.choose.
func (l *Look) Choose(asked, accept string) *Catalog { return l.languages.choose(asked, accept) }
