package pages

import (
	"slices"
	"strings"
	"testing"
)

func TestStencil(t *testing.T) {
	values := func(of ...string) []string {
		return append(of, slices.Repeat([]string{"unused"}, len(marks)-len(of))...)
	}
	for _, c := range []struct {
		text   string
		values []string
		want   string
	}{
		{"", values(), ""},
		{"no gap", values(), "no gap"},
		{marks[0], values("x"), "x"},
		{"a" + marks[1] + "b" + marks[0] + marks[1] + "c", values("one", "two"), "atwobonetwoc"},
		{"a" + marks[0] + "b" + marks[1], values("", marks[0]), "ab" + marks[0]},
		{marks[len(marks)-1] + "s", append(values()[:len(marks)-1], "59"), "59s"},
	} {
		if got := string(cut(c.text).fill(c.values)); got != c.want {
			t.Errorf("%.60q is filled as %.60q, want %.60q", c.text, got, c.want)
		}
	}
}

// A mark that a template escapes or breaks would stay in the page.
func TestMarksPassThroughTemplates(t *testing.T) {
	for _, mark := range marks {
		if breakable(mark+"@") != mark+"@" || strings.Trim(mark, "mABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("%s is changed on its way into a page", mark)
		}
	}
}
