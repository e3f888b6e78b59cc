package screen

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen/accent"
	"github.com/gatehouse-auth/gatehouse/pages/screen/icon"
)

//go:embed templates
var builtinTemplates embed.FS

// Look is how pages and mails appear: brand, templates, languages. It is made
// once for a configuration and safe for concurrent use.
type Look struct {
	brand     Brand
	languages *languages
	screens   map[string]*template.Template
	mails     mailTemplates

	accent     string                // colour of buttons in mails
	styles     map[string]style      // by screen
	Client     StaticFile            // for single-page apps
	files      map[string]StaticFile // script and pictures, by path
	scriptPath string
	logo, dark string // paths, empty for none
	site       func(origin.Origin) Site
}

// Site is what a site is called, and the picture that a list shows it with.
type Site struct {
	Title   string // empty: nothing but its host and the brand
	Picture string // path, as Picture returned it; empty for none
}

var screens = []string{"login", "code", "link", "notme", "logout", "account", "tokens", "sites", "app", "consent", "problem"}

// PlainLook is the look of an instance without a brand. Pages and Mails share
// it.
var PlainLook = sync.OnceValues(func() (*Look, error) { return NewLook(Brand{}) })

// NewLook reads brand, templates and catalogs, and tries every template out in
// every state of its screen. The error says which option and which file is
// wrong, and how.
func NewLook(b Brand) (*Look, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if support, err := address.Parse(b.Support); err == nil { // with the A-label of an international domain, as mails need it
		b.Support = support.String()
	}
	l := &Look{brand: b, screens: map[string]*template.Template{}, styles: map[string]style{}, files: map[string]StaticFile{}, accent: "#1d4ed8"}
	files, err := openTemplates(b.Pages)
	if err != nil {
		return nil, fmt.Errorf("brand: pages %s: %w", b.Pages, err)
	}
	if err := errors.Join(l.loadLogo(), l.loadStatic(files)); err != nil {
		return nil, err
	}
	if err := l.loadTemplates(files); err != nil {
		return nil, fmt.Errorf("brand: pages %s: %w", b.Pages, err)
	}
	return l, nil
}

func (l *Look) loadTemplates(files fs.FS) (err error) {
	if l.languages, err = loadLanguages(files); err != nil {
		return err
	}
	for _, screen := range screens {
		if l.screens[screen], err = template.ParseFS(files, "layout.html", screen+".html"); err != nil {
			return err
		}
	}
	if l.mails, err = loadMailTemplates(files); err != nil {
		return err
	}
	if l.brand.Pages == "" {
		return nil // a test tries these out
	}
	return l.tryOut()
}

func (l *Look) loadLogo() (err error) {
	for _, one := range []struct {
		file string
		path *string
	}{{l.brand.Logo, &l.logo}, {l.brand.LogoDark, &l.dark}} {
		if one.file == "" {
			continue
		}
		logo, err := readLogo(one.file)
		if err != nil {
			return fmt.Errorf("brand: logo %s: %w", one.file, err)
		}
		*one.path = l.serve("logo-", logo.extension, logo.StaticFile)
	}
	return nil
}

// Picture takes in the picture of a site, a PNG or ICO file, and returns its path.
// It is called before the Look is used.
func (l *Look) Picture(file string) (path string, err error) {
	content, err := readPicture(file)
	if err == nil {
		content, err = icon.Of(content)
	}
	if err != nil {
		return "", fmt.Errorf("icon %s: %w", file, err)
	}
	return l.serve("icon-", "png", newFile("image/png", content)), nil
}

// serve has a file served, and returns its path, which is named by its content.
func (l *Look) serve(kind, extension string, f StaticFile) (path string) {
	path = Root + kind + hashed(f.Plain) + "." + extension
	l.files[path] = f
	return path
}

const javascript = "text/javascript; charset=utf-8"

// loadStatic reads style and script. Both are named by their content, so that
// a page's policy admits exactly them.
func (l *Look) loadStatic(files fs.FS) error {
	own := ""
	if l.brand.Accent != "" {
		light, dark, err := accent.Of(l.brand.Accent)
		if err != nil {
			return fmt.Errorf("brand: accent %w", err)
		}
		l.accent = light.String()
		own = fmt.Sprintf(":root{--a:%s}@media(prefers-color-scheme:dark){:root{--a:%s}}", light, dark)
	}
	for _, screen := range screens {
		all, err := fs.ReadFile(files, "style.css")
		if err != nil {
			return err
		}
		for _, more := range moreStyle[screen] {
			some, err := fs.ReadFile(files, more)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		l.styles[screen] = newStyle(squeeze(string(all)) + own)
	}
	script, err := builtinTemplates.ReadFile("templates/ui.js")
	if err != nil {
		return err
	}
	l.scriptPath = l.serve("ui-", "js", newFile(javascript, []byte(squeezeScript(string(script)))))
	client, err := builtinTemplates.ReadFile("templates/client.js")
	l.Client = newFile(javascript, []byte(squeezeScript(string(client))))
	return err
}

// moreStyle is what screens have beside style.css: the sign-in pages stay light.
var moreStyle = map[string][]string{
	"login": {"tick.css"}, "code": {"code.css"},
	"account": {"tick.css", "account.css"}, "tokens": {"account.css", "tokens.css"}, "sites": {"list.css", "sites.css"},
	"logout": {"list.css"}, "problem": {"list.css"},
}

// style is the style sheet of a screen.
type style struct {
	css     string
	element template.HTML
	source  string // as the policy names it
}

func newStyle(css string) style {
	return style{css, template.HTML("<style>" + css + "</style>"), web.StyleSource(css)}
}

func hashed(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// squeeze drops what a style sheet does not need: line ends, indentation and
// lines that are a comment.
func squeeze(css string) string { return dropLines(css, "/*", "") }

// squeezeScript does the same for a script, which needs its line ends.
func squeezeScript(js string) string { return dropLines(js, "//", "\n") }

func dropLines(text, comment, end string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, comment) {
			b.WriteString(line + end)
		}
	}
	return b.String()
}

// Render writes the page of a view.
func (l *Look) Render(w io.Writer, v *View) error {
	return l.screens[v.Screen].ExecuteTemplate(w, "layout.html", v)
}

// File is the script or the picture that stands at path. Opened by itself, an SVG
// must not run anything: it goes out with the policy of what is no page.
func (l *Look) File(path string) (StaticFile, bool) {
	f, ok := l.files[path]
	return f, ok
}

// Style is the style sheet that all pages share, for a page beside them.
func (l *Look) Style() string { return l.styles["problem"].css }

// Fix shows all pages light or dark, whatever the browser prefers.
func (l *Look) Fix(scheme string) {
	const dark = "@media(prefers-color-scheme:dark)"
	media, known := map[string]string{"dark": "@media all", "light": "@media not all"}[scheme]
	if !known {
		return
	}
	if l.dark != "" && scheme == "dark" {
		l.logo = l.dark
	}
	l.dark = ""
	for screen, s := range l.styles {
		l.styles[screen] = newStyle(strings.ReplaceAll(s.css, dark, media))
	}
}

// Sites has sites called and shown as site says. It is called before the Look is
// used.
func (l *Look) Sites(site func(origin.Origin) Site) { l.site = site }

// Titled is what a site is called, always with its host: whoever reads the title
// must see where it stands. It is empty for a site without a title.
func (l *Look) Titled(o origin.Origin) string {
	if l.site == nil || o.IsZero() {
		return ""
	}
	title := l.site(o).Title
	if title == "" || title == o.Host() {
		return title
	}
	return title + " (" + o.Host() + ")"
}

// Listed is what a list of sites calls one.
func (l *Look) Listed(o origin.Origin) string { return cmp.Or(l.Titled(o), o.Host()) }

// Link leads to a path of a site.
func (l *Look) Link(o origin.Origin, path string) SiteLink {
	link := SiteLink{Name: l.Listed(o), URL: o.String() + path, Title: o.Host(), Host: o.Host()}
	if l.site != nil {
		site := l.site(o)
		link.Title, link.Picture = cmp.Or(site.Title, link.Title), site.Picture
	}
	return link
}

func (l *Look) siteName(o origin.Origin) string {
	return cmp.Or(l.Titled(o), l.brand.Name, o.Host())
}
