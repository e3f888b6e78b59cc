package screen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// maxTemplate bounds one file of a pages directory in bytes.
const maxTemplate = 256 << 10

// ownFiles are the templates, with files of a directory in the place of some.
type ownFiles struct {
	builtin fs.FS
	own     fs.FS // nil for none
}

// Open returns a file of the directory if there is one, else the built-in one.
func (f ownFiles) Open(name string) (fs.File, error) {
	if f.own != nil {
		file, err := f.own.Open(name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return f.builtin.Open(name)
}

// openTemplates returns the templates, with those in dir (which may be "") in
// the place of the ones that come with Gatehouse. A file in dir that is no
// template is an error: its name is likely misspelt, and would change nothing.
func openTemplates(dir string) (fs.FS, error) {
	builtin, err := fs.Sub(builtinTemplates, "templates")
	if err != nil || dir == "" {
		return ownFiles{builtin, nil}, err
	}
	switch info, err := files.Stat(dir); {
	case errors.Is(err, files.ErrSilent):
		return nil, err
	case err != nil || !info.IsDir():
		return nil, errors.New("there is no such directory; gatehouse pages export makes one with the originals")
	}
	own := files.Dir(dir, maxTemplate)
	known, err := templateNames()
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(own, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(entry.Name(), ".") && name != ".":
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || strings.HasPrefix(entry.Name(), "README"):
			return nil
		case !slices.Contains(known, name) && !isCatalog(name):
			return fmt.Errorf("%s is neither a template nor a catalog; the templates are %s, and a catalog is named like locales/pt-BR.json", name, strings.Join(known, ", "))
		}
		return checkFile(own, name)
	})
	if err != nil {
		return nil, err
	}
	return ownFiles{builtin, own}, nil
}

func isCatalog(name string) bool {
	ok, err := path.Match("locales/*.json", name)
	return ok && err == nil
}

// templateNames are the files that a directory may replace. Scripts are not
// among them: they are part of how the pages work.
func templateNames() ([]string, error) {
	var names []string
	err := fs.WalkDir(builtinTemplates, "templates", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(name, ".js") {
			names = append(names, strings.TrimPrefix(name, "templates/"))
		}
		return err
	})
	return names, err
}

var madeFor = regexp.MustCompile(`^\{\{-? ?/\* gatehouse templates (\d+) \*/ ?-?\}\}`)

// checkFile looks at the version that a template was made for.
func checkFile(own fs.FS, name string) error {
	content, err := fs.ReadFile(own, name)
	if err != nil {
		return err
	}
	if m := madeFor.FindSubmatch(content); m != nil && string(m[1]) != fmt.Sprint(ViewVersion) {
		return fmt.Errorf("%s was made for version %s of the templates' fields, and this Gatehouse has version %d: docs/templates.md says what changed", name, m[1], ViewVersion)
	}
	return nil
}

// Export writes the templates and catalogs that come with Gatehouse to dir,
// which must not hold any of them yet: nothing is overwritten. A directory for
// Brand.Pages needs only the files that differ.
func Export(dir string) error {
	names, err := templateNames()
	if err != nil {
		return err
	}
	for i := range names {
		names[i] = "templates/" + names[i]
	}
	catalogs, err := fs.Glob(builtinCatalogs, "locales/*.json")
	if err != nil {
		return err
	}
	names = append(names, catalogs...)
	for _, name := range names {
		if _, err := os.Lstat(exportPath(dir, name)); err == nil {
			return fmt.Errorf("%s is there already and would be overwritten: name an empty directory", exportPath(dir, name))
		}
	}
	for _, name := range names {
		if err := export(dir, name); err != nil {
			return err
		}
	}
	return nil
}

func exportPath(dir, name string) string {
	return filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(name, "templates/")))
}

func export(dir, name string) error {
	from := builtinTemplates
	if isCatalog(name) {
		from = builtinCatalogs
	}
	content, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	target := exportPath(dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
