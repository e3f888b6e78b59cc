package pages

import (
	"cmp"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Preview serves every screen in every state, and every mail, in every language,
// light and dark, for whoever works on a brand. It reads the files anew for each
// request; what is wrong with them is the answer. It signs nobody in and is for
// one's own machine.
//
//	/                                         the list
//	/page/{n}?lang=ar&scheme=dark             a page, by its number in the list
//	/mail/{n}?lang=ar&part=text               a mail; part html is the default
func Preview(b screen.Brand) http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, show func(*screen.Look, http.ResponseWriter, *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			look, err := screen.NewLook(b)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			show(look, w, r)
		})
	}
	serve("GET /{$}", previewList)
	serve("GET /page/{n}", previewPage)
	serve("GET /mail/{n}", previewMail)
	serve("GET /_gatehouse/", previewFile)
	// Pressing a button, which the link's page does by itself, leads nowhere.
	mux.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// previewList lists what there is, for each language.
func previewList(l *screen.Look, w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=en><meta charset=utf-8><title>Preview</title><h1>Pages and mails</h1><table>")
	row := func(name string, link func(lang string) string) {
		fmt.Fprintf(&b, "<tr><th align=left>%s", html.EscapeString(name))
		for _, lang := range l.Languages() {
			fmt.Fprintf(&b, "<td>%s", link(lang))
		}
	}
	for i, v := range l.Samples("en") {
		row(v.Screen+" "+v.State, func(lang string) string {
			return fmt.Sprintf(`<a href="/page/%d?lang=%s">%[2]s</a> <a href="/page/%[1]d?lang=%[2]s&amp;scheme=dark">dark</a>`, i, lang)
		})
	}
	for i, letter := range screen.SampleLetters("en") {
		row("mail "+string(letter.Kind), func(lang string) string {
			return fmt.Sprintf(`<a href="/mail/%d?lang=%s">%[2]s</a> <a href="/mail/%[1]d?lang=%[2]s&amp;part=text">text</a>`, i, lang)
		})
	}
	b.WriteString("</table></html>")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, b.String())
}

func previewPage(l *screen.Look, w http.ResponseWriter, r *http.Request) {
	l.Fix(r.FormValue("scheme")) // the page itself follows the browser
	all := l.Samples(r.FormValue("lang"))
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(all) {
		http.NotFound(w, r)
		return
	}
	at, err := origin.New("http", r.Host)
	if err != nil {
		http.Error(w, "open this by its host name: "+err.Error(), http.StatusBadRequest)
		return
	}
	e := (&Pages{look: l}).exchange(w, r, Visit{Origin: at})
	e.page(http.StatusOK, all[n])
}

func previewMail(l *screen.Look, w http.ResponseWriter, r *http.Request) {
	all := screen.SampleLetters(cmp.Or(r.FormValue("lang"), "en"))
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(all) {
		http.NotFound(w, r)
		return
	}
	mails, err := screen.NewMails(screen.MailConfig{Look: l, SubjectCode: true, FromAddress: "login@example.com"})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	m, err := mails.Compose(all[n])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r.FormValue("part") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "From: %s <%s>\nTo: %s\nSubject: %s\n\n%s", m.FromName, m.FromAddress, m.To, m.Subject, m.Text)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, m.HTML)
}

// previewFile serves script and logo as the pages do.
func previewFile(l *screen.Look, w http.ResponseWriter, r *http.Request) {
	if _, ok := l.File(r.URL.Path); !ok {
		http.Error(w, "This is a preview: nothing behind the pages works.", http.StatusNotFound)
		return
	}
	(&Pages{look: l}).ServeHTTP(w, r, Visit{})
}
