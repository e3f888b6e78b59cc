package e2e

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// make screenshots sets it.
var makeScreenshots = flag.Bool("screenshots", false, "make the pictures in docs/screenshots anew")

const (
	screenshots   = "../docs/screenshots"
	madeFrom      = screenshots + "/made-from.txt"
	maxScreenshot = 60 << 10 // bytes
)

// pictured are the screens that the documentation shows, by the names of files.
var pictured = []struct{ file, scene string }{
	{"login", "login form"},
	{"login-error", "login malformed"},
	{"code", "code sent"},
	{"code-wrong", "code wrong"},
	{"code-expired", "code expired_resent"},
	{"code-locked", "code locked"},
	{"link", "link replaces"},
	{"link-elsewhere", "link elsewhere"},
	{"link-used", "link used"},
	{"not-allowed", "problem not_allowed"},
	{"sites", "sites some"},
	{"account", "account shown"},
	{"sign-out", "logout confirm"},
	{"signed-out", "logout out"},
	{"mail", "mail"},
}

// Each of them is shown in four ways.
var views = []struct {
	name, lang, scheme string
	width, height      int64
	options            []chromedp.EmulateViewportOption
}{
	{"light", "en", "light", 640, 400, []chromedp.EmulateViewportOption{chromedp.EmulateScale(1.5)}},
	{"dark", "en", "dark", 640, 400, []chromedp.EmulateViewportOption{chromedp.EmulateScale(1.5)}},
	{"phone", "en", "light", 390, 700, []chromedp.EmulateViewportOption{chromedp.EmulateScale(1.5), chromedp.EmulateMobile}},
	{"arabic", "ar", "light", 390, 700, []chromedp.EmulateViewportOption{chromedp.EmulateScale(1.5), chromedp.EmulateMobile}},
}

func pictureGallery(t *testing.T) *gallery {
	g := openGallery(t, screen.Brand{Name: "Example Wiki", Support: "help@example.com"})
	g.scenes = append(g.scenes, scene{"mail", "/mail/0"})
	return g
}

// TestScreenshots makes the pictures, or tells which of them are old: of each
// picture the page that it was made from is kept as a hash.
func TestScreenshots(t *testing.T) {
	g := pictureGallery(t)
	sources := map[string]string{}
	for _, p := range pictured {
		for _, lang := range []string{"en", "ar"} {
			sources[p.file+" "+lang] = g.hash(g.scene(p.scene).path + "?lang=" + lang)
		}
	}
	if *makeScreenshots {
		g.makeAll()
		var lines strings.Builder
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			fmt.Fprintf(&lines, "%s %s\n", name, sources[name])
		}
		if err := os.WriteFile(madeFrom, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(madeFrom)
	if err != nil {
		t.Fatalf("%v; make screenshots writes it", err)
	}
	for name, hash := range sources {
		if !strings.Contains("\n"+string(kept), "\n"+name+" "+hash+"\n") {
			t.Errorf("%s looks different from its pictures in docs/screenshots; run make screenshots, look at them and commit them", name)
		}
	}
	g.allAreShown()
}

// allAreShown looks for each picture, and for a word about it.
func (g *gallery) allAreShown() {
	g.Helper()
	var text []byte
	for _, file := range []string{"../README.md", screenshots + "/README.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			g.Fatal(err)
		}
		text = append(text, content...)
	}
	for _, p := range pictured {
		for _, view := range views {
			name := p.file + "-" + view.name + ".png"
			info, err := os.Stat(filepath.Join(screenshots, name))
			if err != nil {
				g.Errorf("%v; make screenshots makes it", err)
			} else if info.Size() > maxScreenshot {
				g.Errorf("%s has %d bytes", name, info.Size())
			}
			if !bytes.Contains(text, []byte(name)) {
				g.Errorf("%s is shown in no README", name)
			}
		}
	}
}

// The script, which is named by a hash of its content, changes no picture, and nor
// does a field that is not shown.
var notShown = regexp.MustCompile(`<script [^>]*></script>|<input type="hidden" name="return_to"[^>]*>`)

func (g *gallery) hash(path string) string {
	a := newVisitor(g, g.base).get(path).must(g, 200)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(notShown.ReplaceAllString(a.body, ""))))[:16]
}

func (g *gallery) makeAll() {
	g.Helper()
	for _, view := range views {
		g.prefers("prefers-color-scheme", view.scheme)
		for _, p := range pictured {
			// As high as the page, within reason.
			g.do("resizing", chromedp.EmulateViewport(view.width, view.height, view.options...))
			g.open(g.scene(p.scene).path + "?lang=" + view.lang)
			high, _ := strconv.ParseInt(g.eval("document.scrollingElement.scrollHeight"), 10, 64)
			g.do("resizing", chromedp.EmulateViewport(view.width, min(max(high, view.height), 1000), view.options...))
			g.eval("document.documentElement.style.caretColor = 'transparent'")
			shot, err := chromedp.Run(g.ctx, chromedp.CaptureScreenshot())
			if err == nil {
				shot, err = small(shot)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(screenshots, p.file+"-"+view.name+".png"), shot, 0o644)
			}
			if err != nil {
				g.Fatal(err)
			}
		}
	}
}

// small makes a picture of few colours smaller: its 64 most common colours
// stand for all.
func small(data []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	box, count := full.Bounds(), map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	common := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var palette color.Palette
	for _, c := range common[:min(len(common), 64)] {
		palette = append(palette, c)
	}
	few, index := image.NewPaletted(box, palette), map[color.RGBA]uint8{}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			few.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few)
	return out.Bytes(), err
}
