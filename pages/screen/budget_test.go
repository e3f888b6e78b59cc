package screen

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The budgets: what a page, its script and a mail may weigh. Pages of others of
// this kind weigh 29 to 330 KB, compressed.
const (
	maxPage   = 2560     // compressed, with its style
	maxLong   = 3 << 10  // the same of account pages
	maxRaw    = 14 << 10 // as it is: what one round trip carries
	maxScript = 1228     // compressed
	maxMail   = 3 << 10  // the HTML part as it is
)

func TestBudgets(t *testing.T) {
	l, err := NewLook(Brand{})
	check(t, err)
	heaviest := map[string]int{}
	for _, c := range l.languages.all {
		for _, v := range l.Samples(c.Lang()) {
			var page strings.Builder
			check(t, l.Render(&page, v))
			n := len(Compress([]byte(page.String())))
			heaviest["page"] = max(heaviest["page"], n)
			most := maxPage
			if v.Screen == "account" {
				most = maxLong
			}
			if n > most || page.Len() > maxRaw {
				t.Errorf("%s %s in %s has %d bytes, %d compressed", v.Screen, v.State, v.Lang, page.Len(), n)
			}
		}
		for _, letter := range SampleLetters(c.Lang()) {
			m, err := (&Mails{look: l, now: sampleNow, cfg: MailConfig{SubjectCode: true}}).Compose(letter)
			check(t, err)
			heaviest["mail"] = max(heaviest["mail"], len(m.HTML))
			if len(m.HTML) > maxMail {
				t.Errorf("mail %s in %s has %d bytes", letter.Kind, c.Lang(), len(m.HTML))
			}
			if strings.Contains(m.HTML, "<img") || strings.Contains(m.HTML, "url(") {
				t.Errorf("mail %s loads a picture", letter.Kind)
			}
		}
	}
	heaviest["script"] = len(l.files[l.scriptPath].Zipped)
	if heaviest["script"] > maxScript {
		t.Errorf("the script has %d bytes, %d compressed", len(l.files[l.scriptPath].Plain), heaviest["script"])
	}
	t.Logf("heaviest, in bytes: %v", heaviest)
}

var loaded = regexp.MustCompile(`(?:src|href|action|srcset|data)="([^"]*)"|url\(([^)]*)\)`)

// TestRequests counts what a browser has to load for a page: itself and the
// script, which it keeps. Nothing comes from elsewhere.
func TestRequests(t *testing.T) {
	l, err := NewLook(Brand{})
	check(t, err)
	for _, v := range l.Samples("en") {
		var page strings.Builder
		check(t, l.Render(&page, v))
		want := 1
		if v.Screen == "app" {
			want = 0 // none of our files stands at the API's origin
		}
		if n := strings.Count(page.String(), "src="); n != want || strings.Contains(page.String(), "<link rel=\"stylesheet") {
			t.Errorf("%s %s loads %d files", v.Screen, v.State, n)
		}
		for _, m := range loaded.FindAllStringSubmatch(page.String(), -1) {
			if target := m[1] + m[2]; !v.names(target) && !strings.ContainsAny(target[:1], "/#") && target != "data:," && !strings.HasPrefix(target, "mailto:") {
				t.Errorf("%s %s refers to %q", v.Screen, v.State, target)
			}
		}
	}
}

// names tells whether the screen lists the site at target.
func (v *View) names(target string) bool {
	return v.Elsewhere.URL == target || v.Account == target || v.Launcher == target || slices.ContainsFunc(v.Sites, func(s SiteLink) bool { return s.URL == target })
}
