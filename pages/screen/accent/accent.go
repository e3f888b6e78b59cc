// Package accent judges the colour of a brand: whether text in it can be read on
// our pages, and which shade of it can on dark ones. It knows no page.
//
// It keeps nothing.
package accent

import (
	"fmt"
	"math"
	"strconv"
)

// Color is a colour in sRGB, each part from 0 to 1.
type Color struct{ r, g, b float64 }

// The backgrounds that links and buttons stand on, from style.css.
var (
	lightBackgrounds = []Color{mustColor("#ffffff"), mustColor("#f2f3f6")}
	darkBackgrounds  = []Color{mustColor("#1b1e26"), mustColor("#111319"), mustColor("#0d1526")}
)

// minContrast is what text of any size needs to be read (WCAG 2.2, 1.4.3).
const minContrast = 4.5

func parseColor(s string) (Color, error) {
	if len(s) == 4 && s[0] == '#' { // #rgb is short for #rrggbb
		s = string([]byte{'#', s[1], s[1], s[2], s[2], s[3], s[3]})
	}
	n, err := strconv.ParseUint(s[min(1, len(s)):], 16, 24)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return Color{}, fmt.Errorf("%q is no colour; write one in quotes, as in \"#1d4ed8\"", s)
	}
	return Color{float64(n>>16) / 255, float64(n>>8&255) / 255, float64(n&255) / 255}, nil
}

func mustColor(s string) Color {
	c, err := parseColor(s)
	if err != nil {
		panic(err)
	}
	return c
}

func (c Color) String() string {
	part := func(x float64) int { return int(math.Round(x * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", part(c.r), part(c.g), part(c.b))
}

// luminance is the relative luminance of WCAG 2.2.
func (c Color) luminance() float64 {
	linear := func(x float64) float64 {
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

func contrast(a, b Color) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// worst is the least contrast of c with any of the others.
func (c Color) worst(others []Color) float64 {
	least := math.Inf(1)
	for _, other := range others {
		least = min(least, contrast(c, other))
	}
	return least
}

// towards mixes c with other until it can be read on all backgrounds.
func (c Color) towards(other Color, backgrounds []Color) Color {
	mixed := c
	for step := 0; step <= 100 && mixed.worst(backgrounds) < minContrast; step++ {
		t := float64(step) / 100
		mixed = mustColor(Color{c.r + t*(other.r-c.r), c.g + t*(other.g-c.g), c.b + t*(other.b-c.b)}.String())
	}
	return mixed
}

// Of returns the colour of buttons and links for light pages, which is s
// itself, and one for dark pages made from it. A colour that can't be read on
// light pages is an error that names one close to it that can.
func Of(s string) (light, dark Color, err error) {
	light, err = parseColor(s)
	if err != nil {
		return light, dark, err
	}
	if got := light.worst(lightBackgrounds); got < minContrast {
		near := light.towards(mustColor("#000000"), lightBackgrounds)
		return light, dark, fmt.Errorf("%s has a contrast of %.1f on white and light grey, and text needs %.1f: %s is close to it and can be read", s, got, minContrast, near)
	}
	return light, light.towards(mustColor("#ffffff"), darkBackgrounds), nil
}
