package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

//go:embed templates
var builtinTemplates embed.FS

// Brand is how a site presents itself. The zero value is Gatehouse's own look,
// under the name of the host.
type Brand struct {
	Name    string // empty: the host
	Support string // address for help, empty for none
}

// Look is how pages and mails appear: brand, templates, languages. It is made
// once for a configuration and safe for concurrent use.
type Look struct {
	brand     Brand
	languages *languages
	screens   map[string]*template.Template
	mails     mailTemplates

	accent     string        // colour of buttons in mails
	onAccent   string        // colour of the text on them
	style      template.HTML // the style element
	styleHash  string        // as the policy names it
	script     []byte
	scriptPath string
	logoPath   string
}

var screens = []string{"login", "code", "link", "notme", "logout", "problem"}

// NewLook reads the templates and catalogs and tries them out.
func NewLook(b Brand) (*Look, error) {
	l := &Look{brand: b, screens: map[string]*template.Template{}, accent: "#1d4ed8", onAccent: "#ffffff"}
	files, err := fs.Sub(builtinTemplates, "templates")
	if err != nil {
		return nil, err
	}
	if l.languages, err = loadLanguages(nil); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := l.loadStatic(files); err != nil {
		return nil, err
	}
	for _, screen := range screens {
		if l.screens[screen], err = template.ParseFS(files, "layout.html", screen+".html"); err != nil {
			return nil, fmt.Errorf("template %s.html: %w", screen, err)
		}
	}
	l.mails, err = loadMailTemplates(files)
	return l, err
}

// loadStatic reads style and script. Both are named by their content, so that
// a page's policy admits exactly them.
func (l *Look) loadStatic(files fs.FS) error {
	style, err := fs.ReadFile(files, "style.css")
	if err != nil {
		return err
	}
	css := squeeze(string(style))
	sum := sha256.Sum256([]byte(css))
	l.style = template.HTML("<style>" + css + "</style>")
	l.styleHash = "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	if l.script, err = fs.ReadFile(files, "ui.js"); err != nil {
		return err
	}
	sum = sha256.Sum256(l.script)
	l.scriptPath = Root + "ui-" + hex.EncodeToString(sum[:8]) + ".js"
	return nil
}

// squeeze drops what a style sheet does not need: line ends and indentation.
func squeeze(css string) string {
	var b strings.Builder
	for line := range strings.Lines(css) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "/*") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (l *Look) render(w io.Writer, v *View) error {
	return l.screens[v.Screen].ExecuteTemplate(w, "layout.html", v)
}

func (l *Look) siteName(o authcore.Origin) string {
	if l.brand.Name != "" {
		return l.brand.Name
	}
	return o.Host()
}
