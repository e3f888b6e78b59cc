package e2e

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// gallery is every screen in every state, as gatehouse pages preview serves
// them, and a tab to look at them with.
type gallery struct {
	*tab
	scenes []scene
}

// scene is one screen in one state.
type scene struct {
	name string // "code wrong"
	path string // in the gallery, without the language
}

// short is what is looked at in make test; make prove looks at every scene.
var short = []string{"login form", "login malformed", "code sent", "code wrong", "link ready", "link elsewhere", "problem not_allowed", "account shown", "app pair", "app stop"}

// openGallery opens the gallery in a tab whose console must stay silent.
func openGallery(t *testing.T, brand screen.Brand) *gallery {
	t.Helper()
	look, err := screen.NewLook(brand)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages.Preview(brand))
	t.Cleanup(server.Close)
	browser, err := chromium()
	if err != nil {
		t.Fatalf("starting chromium (Debian's package chromium): %v", err)
	}
	g := &gallery{tab: openTab(t, browser, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), chromedp.WithNewBrowserContext())}
	for i, v := range look.Samples("en") {
		g.scenes = append(g.scenes, scene{v.Screen + " " + v.State, fmt.Sprintf("/page/%d", i)})
	}
	g.consoleIsSilent()
	return g
}

// shown are the scenes that this run looks at.
func (g *gallery) shown() []scene {
	if proving() {
		return g.scenes
	}
	var some []scene
	for _, name := range short {
		some = append(some, g.scene(name))
	}
	return some
}

func (g *gallery) scene(name string) scene {
	g.Helper()
	for _, s := range g.scenes {
		if s.name == name {
			return s
		}
	}
	g.Fatalf("there is no scene %q among %v", name, g.scenes)
	return scene{}
}

// show opens a scene in a language, with all that can be unfolded unfolded.
func (g *gallery) show(s scene, lang string) {
	g.Helper()
	g.open(s.path + "?lang=" + lang)
	g.eval("document.querySelectorAll('details').forEach(d => d.open = true)")
}

// each opens every scene of this run in every one of langs, and looks.
func (g *gallery) each(langs []string, look func(where string)) {
	g.Helper()
	for _, s := range g.shown() {
		for _, lang := range langs {
			g.show(s, lang)
			look(s.name + " in " + lang)
		}
	}
}

func proving() bool { return os.Getenv("GATEHOUSE_PROVE") != "" }

// consoleIsSilent fails the test when a script fails, or when the browser
// complains: about the page's policy, about a field, about anything.
func (b *tab) consoleIsSilent() {
	b.Helper()
	err := chromedp.Listen(b.ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.Errorf("a script failed: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.Errorf("a script wrote to the console (%s)", e.Type)
		case *log.EventEntryAdded:
			// A status of 400 or more is logged as well, and meant.
			if e.Entry.Source != "network" {
				b.Errorf("the console says: %s", e.Entry.Text)
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

// prefers sets media features, in pairs: "prefers-color-scheme", "dark".
func (b *tab) prefers(features ...string) {
	b.Helper()
	params := emulation.SetEmulatedMediaParams{}
	for i := 0; i < len(features); i += 2 {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	b.do("emulating media features", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, params)
		return chromedp.Void{}, err
	})
}

// eval evaluates JavaScript to text.
func (b *tab) eval(js string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("Promise.resolve("+js+").then(String)", chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("evaluating %.200s: %v", js, err)
	}
	return text
}

// leads does steps that lead to another page, and returns its status.
func (b *tab) leads(what string, steps ...chromedp.Action[chromedp.Void]) int64 {
	b.Helper()
	return b.navigate(what, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, steps...)
	})
}
