package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// overflowing lists what reaches out of the window or out of its own box.
// A code that was typed must be seen as a whole.
const overflowing = `(() => {
	const wide = document.documentElement.clientWidth, found = []
	const name = e => e.tagName.toLowerCase() + ' ' + (e.id || e.className) + ' ' + e.textContent.trim().slice(0, 40)
	const code = document.querySelector('#code')
	if (code) code.value = '482913'
	if (document.scrollingElement.scrollWidth > wide) found.push('the page scrolls sideways: ' + document.scrollingElement.scrollWidth + ' of ' + wide)
	for (const e of document.body.querySelectorAll('*')) {
		const r = e.getBoundingClientRect(), style = getComputedStyle(e)
		if (!r.width || e.closest('.vh')) continue
		if (r.left < -1 || r.right > wide + 1) found.push('outside: ' + name(e))
		if (style.display != 'inline' && e.scrollWidth > e.clientWidth + 1 && e.type != 'email') found.push('cut off: ' + name(e))
		if (style.display != 'inline' && style.overflow != 'visible' && e.tagName != 'INPUT' && e.scrollHeight > e.clientHeight + 1) found.push('cut off below: ' + name(e))
	}
	return found.join('\n')
})()`

// The window's width in CSS pixels: zoom makes it narrower. 400 % of a window of
// 1280 leaves 320. 280 is the narrowest phone there is.
var windows = []struct {
	name  string
	width int64
	scale float64
	js    string // done to the page first, and not undone
}{
	{"200 %", 640, 2, ""},
	{"400 %", 320, 4, ""},
	{"280 px", 280, 1, ""},
	{"text at 200 %", 640, 1, "document.documentElement.style.fontSize = '200%'"},
	// WCAG 1.4.12: what people set who need more room between letters.
	{"wide text", 320, 1, `document.documentElement.style.fontSize = ''
		document.querySelectorAll('body, body *').forEach(e => {
		e.style.lineHeight = '1.5'; e.style.letterSpacing = '.12em'; e.style.wordSpacing = '.16em' })
		document.querySelectorAll('p').forEach(e => e.style.marginBlockEnd = '2em')`},
}

// TestReflow: however narrow the window and however large the letters, nothing
// scrolls sideways and nothing is cut off.
func TestReflow(t *testing.T) {
	langs := []string{"de", "ar"}
	if proving() {
		langs = []string{"en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ja", "zh-Hans", "ar", "he"}
	}
	long := strings.Repeat("Geschwindigkeitsbegrenzung", 2)
	g := openGallery(t, screen.Brand{Name: long, Support: "somebody.with.a.long.name@subdomain.of.a.long.domain.example.com"})
	looked := 0
	g.each(langs, func(where string) {
		looked++
		for _, w := range windows {
			g.do("resizing", chromedp.EmulateViewport(w.width, 700, chromedp.EmulateScale(w.scale)))
			if found := g.eval("(() => {" + w.js + ";return " + overflowing + "})()"); found != "" {
				t.Errorf("%s, %s:\n%s", where, w.name, found)
			}
		}
	})
	t.Logf("looked at %d pages", looked)
}

// contrasts lists parts that can't be told from what is around them: WCAG 1.4.11
// asks for 3 to 1. Text is axe's business.
const contrasts = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number)
	const light = c => { const [r, g, b] = parse(c).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		return .2126 * r + .7152 * g + .0722 * b }
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05) }
	const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor
		if (!(parse(c)[3] === 0)) return c } return 'rgb(255, 255, 255)' }
	const found = []
	for (const e of document.querySelectorAll('input:not([type=hidden]):not(.vh):not([type=checkbox]), select, button, .button')) {
		const edge = getComputedStyle(e), around = behind(e.parentElement)
		const best = Math.max(ratio(edge.borderTopColor, around), edge.backgroundColor == 'rgba(0, 0, 0, 0)' ? 0 : ratio(edge.backgroundColor, around))
		if (e.ariaDisabled != 'true' && !e.matches('.link') && (best < 3 || edge.borderTopStyle != 'solid')) found.push((e.id || e.textContent) + ' ' + best.toFixed(2))
	}
	return found.join('\n')
})()`

func TestEdgesCanBeSeen(t *testing.T) {
	g := openGallery(t, screen.Brand{})
	for _, forced := range []string{"none", "active"} {
		for _, scheme := range []string{"light", "dark"} {
			g.prefers("prefers-color-scheme", scheme, "forced-colors", forced)
			g.each([]string{"en"}, func(where string) {
				if found := g.eval(contrasts); found != "" {
					t.Errorf("%s, %s, forced colours %s: hard to see: %s", where, scheme, forced, found)
				}
			})
		}
	}
}

// In forced colours shadows and backgrounds are gone: card, buttons, fields and
// messages must keep an edge, and the text its visitor's colour.
func TestForcedColors(t *testing.T) {
	g := openGallery(t, screen.Brand{Accent: "#1d4ed8"})
	g.prefers("forced-colors", "active")
	g.each([]string{"en", "ar"}, func(where string) {
		found := g.eval(`[...document.querySelectorAll('main, button, .button, select, input:not([type=hidden]):not(.vh):not([type=checkbox]), .box')].filter(e => {
			const s = getComputedStyle(e)
			return ['Top', 'Right', 'Bottom', 'Left'].every(side => s['border' + side + 'Style'] == 'none' || s['border' + side + 'Width'] == '0px')
				|| s.forcedColorAdjust != 'auto'
		}).map(e => e.tagName + ' ' + e.className).join(', ')`)
		if found != "" {
			t.Errorf("%s: without an edge in forced colours: %s", where, found)
		}
	})
}

// Nothing moves for whoever asked for that, and nothing does for others.
func TestNothingMoves(t *testing.T) {
	g := openGallery(t, screen.Brand{})
	for _, motion := range []string{"reduce", "no-preference"} {
		g.prefers("prefers-reduced-motion", motion)
		g.show(g.scene("code sent"), "en")
		if n := g.eval(`document.getAnimations().length + [...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration != '0s').length`); n != "0" {
			t.Errorf("%s animations with prefers-reduced-motion: %s", n, motion)
		}
	}
}
