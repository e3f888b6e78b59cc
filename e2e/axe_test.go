package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// axeRules are all rules for WCAG 2.2 AA and axe's own good practice. Those for
// 2.2 are off in axe unless they are asked for.
const axeRules = `["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]`

// finding is what axe says about a page: a violation, or something it could
// not decide.
type finding struct {
	ID, Help string
	Nodes    []struct {
		HTML           string
		FailureSummary string
	}
}

func (f finding) String() string {
	text := f.ID + ": " + f.Help
	for _, n := range f.Nodes {
		text += fmt.Sprintf("\n    %.300s\n    %s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
	}
	return text
}

// axe runs axe-core in the page.
func (b *tab) axe(source string) []finding {
	b.Helper()
	b.do("loading axe", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](source))
		return err
	}))
	// The slots are a picture below the digits: axe measures contrast only without.
	b.eval(`(c => c && (c.value = '482913', c.style.backgroundImage = 'none'))(document.querySelector('#code')), ''`)
	text := b.eval(`axe.run({runOnly: ` + axeRules + `, resultTypes: ['violations', 'incomplete']})
		.then(r => JSON.stringify(r.violations.concat(r.incomplete)))`)
	var found []finding
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.Fatalf("axe said %.200s: %v", text, err)
	}
	return found
}

func axeSource(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("npm/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core is not installed, .ci/tools does that: %v", err)
	}
	return string(source)
}

// TestAxe looks for what makes a page hard to use for some, with axe-core: in
// every screen and state, light and dark, from left and from right.
func TestAxe(t *testing.T) {
	source, looked := axeSource(t), 0
	langs := []string{"en", "ar"}
	if proving() {
		langs = []string{"en", "de", "ar"}
	}
	g := openGallery(t, screen.Brand{})
	branded := openGallery(t, screen.Brand{Name: "Example", Accent: "#b4380a", Support: "help@example.com"})
	branded.scenes = []scene{branded.scene("login malformed"), branded.scene("code wrong"), branded.scene("account shown")}
	for _, scheme := range []string{"light", "dark"} {
		look := func(g *gallery) func(string) {
			g.prefers("prefers-color-scheme", scheme)
			return func(where string) {
				looked++
				for _, f := range g.axe(source) {
					t.Errorf("%s, %s: %v", where, scheme, f)
				}
			}
		}
		g.each(langs, look(g))
		if proving() {
			branded.each([]string{"en", "ar"}, look(branded))
		}
	}
	t.Logf("axe looked at %d pages", looked)
}
