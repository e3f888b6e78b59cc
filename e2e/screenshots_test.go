package e2e

import (
	"bytes"
	"cmp"
	"context"
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

	"github.com/chromedp/cdproto/page"
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

// picture is a screen that the documentation shows.
type picture struct {
	file, scene string
	own         bool // with the logos and the colour of a brand
	end         bool // of a long page its end
}

var pictured = []picture{
	{file: "login", scene: "login form"},
	{file: "login-own", scene: "login form", own: true},
	{file: "login-error", scene: "login malformed"},
	{file: "code", scene: "code sent"},
	{file: "code-wrong", scene: "code wrong"},
	{file: "code-expired", scene: "code expired_resent"},
	{file: "code-locked", scene: "code locked"},
	{file: "link", scene: "link replaces"},
	{file: "link-elsewhere", scene: "link elsewhere"},
	{file: "link-used", scene: "link used"},
	{file: "not-allowed", scene: "problem not_allowed"},
	{file: "sites", scene: "sites some"},
	{file: "account", scene: "account shown"},
	{file: "account-end", scene: "account shown", end: true},
	{file: "sign-out", scene: "logout confirm"},
	{file: "signed-out", scene: "logout out"},
	{file: "mail", scene: "mail sign_in"},
	{file: "mail-new-device", scene: "mail new_device"},
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

// pictureGallery is a gallery whose browser has the samples' clock, so that "3
// hours ago" is what the page says on any day.
func pictureGallery(t *testing.T, brand screen.Brand) *gallery {
	brand.Name, brand.Support = "Example Wiki", "help@example.com"
	g := openGallery(t, brand)
	for i, letter := range screen.SampleLetters("en") {
		g.scenes = append(g.scenes, scene{"mail " + string(letter.Kind), fmt.Sprintf("/mail/%d", i)})
	}
	g.do("setting the clock", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: fmt.Sprintf("Date.now = () => %d", screen.SampleTime.UnixMilli()),
		})
		return chromedp.Void{}, err
	})
	return g
}

// TestScreenshots makes the pictures, or tells which of them are old: of each
// picture the page that it was made from is kept as a hash.
func TestScreenshots(t *testing.T) {
	galleries := map[bool]*gallery{false: pictureGallery(t, screen.Brand{}), true: pictureGallery(t, ownBrand)}
	sources := map[string]string{}
	for _, p := range pictured {
		g := galleries[p.own]
		for _, lang := range []string{"en", "ar"} {
			sources[p.file+" "+lang] = g.hash(g.scene(p.scene).path + "?lang=" + lang)
		}
		if *makeScreenshots {
			g.take(p)
		}
	}
	if *makeScreenshots {
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
	allAreShown(t)
}

// ownBrand is the looks of somebody's own.
var ownBrand = screen.Brand{Logo: "testdata/logo.svg", LogoDark: "testdata/logo-dark.svg", Accent: "#0f766e"}

// allAreShown looks for each picture, and for a word about it.
func allAreShown(t *testing.T) {
	t.Helper()
	var text []byte
	for _, file := range []string{"../README.md", screenshots + "/README.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, content...)
	}
	for _, p := range pictured {
		for _, view := range views {
			name := p.file + "-" + view.name + ".png"
			info, err := os.Stat(filepath.Join(screenshots, name))
			if err != nil {
				t.Errorf("%v; make screenshots makes it", err)
			} else if info.Size() > maxScreenshot {
				t.Errorf("%s has %d bytes", name, info.Size())
			}
			if !bytes.Contains(text, []byte(name)) {
				t.Errorf("%s is shown in no README", name)
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

// take makes a picture in all ways.
func (g *gallery) take(p picture) {
	g.Helper()
	for _, view := range views {
		g.prefers("prefers-color-scheme", view.scheme)
		// As high as the page, within reason.
		g.do("resizing", chromedp.EmulateViewport(view.width, view.height, view.options...))
		g.open(g.scene(p.scene).path + "?lang=" + view.lang)
		high, _ := strconv.ParseInt(g.eval("document.scrollingElement.scrollHeight"), 10, 64)
		g.do("resizing", chromedp.EmulateViewport(view.width, min(max(high, view.height), 1000), view.options...))
		g.eval("document.documentElement.style.caretColor = 'transparent'")
		if p.end {
			g.eval("scrollTo(0, document.scrollingElement.scrollHeight)")
		}
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
