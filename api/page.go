package api

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Page is one of the few pages that a dialect shows to people: a sentence, and
// a button where something is to be confirmed. Links in mails are opened by
// scanners too, so opening one never does anything; pressing the button does.
type Page struct {
	Title string
	Text  []string // paragraphs
	Form  *Form
}

// Form is a button that posts to Action.
type Form struct {
	Action string // a path of this origin
	Fields [][2]string
	Button string
	Input  *Input // nil for none
	// Leads is the URL that the answer to the form will redirect to, "" for
	// none. Browsers apply form-action to all redirects that follow, those of
	// the other site included: it can't name hosts then.
	Leads string
}

// Input is the one thing that a person types.
type Input struct {
	Name, Label string
	Digits      int // how many digits; 0: an address
}

const pageStyle = `:root{color-scheme:light dark}body{font:18px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}button,input{font:inherit;padding:.6rem 1.2rem}`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
<main>
<h1>{{.Title}}</h1>
{{range .Text}}<p>{{.}}</p>
{{end}}{{with .Form}}<form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">
{{end}}{{with .Input}}<p><label>{{.Label}} <input name="{{.Name}}" required autofocus {{if .Digits}}inputmode="numeric" autocomplete="off" size="{{.Digits}}" maxlength="{{.Digits}}"{{else}}type="email" autocomplete="email"{{end}}></label></p>
{{end}}<button{{if not .Input}} autofocus{{end}}>{{.Button}}</button>
</form>
{{end}}</main>
</html>
`))

// ShowPage answers with a page.
func (c *Call) ShowPage(status int, p Page) error {
	sum := sha256.Sum256([]byte(pageStyle))
	target := "'self'"
	if p.Form != nil && p.Form.Leads != "" {
		target += " https: http:"
	}
	h := c.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; frame-ancestors 'none'; form-action "+target)
	h.Set("Referrer-Policy", "same-origin") // with no-referrer browsers send Origin: null, and SameOrigin refuses
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	c.W.WriteHeader(status)
	return pageTemplate.Execute(c.W, struct {
		Page
		Style template.CSS
	}{p, pageStyle})
}

// SeeOther sends the browser to location, which must have been checked.
func (c *Call) SeeOther(location string) error {
	h := c.W.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	c.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// SameOrigin tells whether a request comes from a page of this origin, so that
// no other site can make a browser sign in or out. Browsers say so themselves:
// Sec-Fetch-Site, else Origin, else Referer. A request with none is refused.
func (c *Call) SameOrigin() bool {
	if site := c.R.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
	}
	if origin := c.R.Header["Origin"]; len(origin) > 0 {
		return len(origin) == 1 && c.isOwn(origin[0])
	}
	u, err := url.Parse(c.R.Header.Get("Referer"))
	return err == nil && u.User == nil && u.Host != "" && c.isOwn(u.Scheme+"://"+u.Host)
}

// FromPage refuses what does not come from a page of ours, see SameOrigin. Every
// button of a Page asks it.
func (c *Call) FromPage() error {
	if !c.SameOrigin() {
		return errOtherSite
	}
	return nil
}

func (c *Call) isOwn(text string) bool {
	o, err := origin.Parse(text)
	return err == nil && !c.Origin.IsZero() && o == c.Origin
}

// IsRobot tells whether a request looks like a mail scanner's or a prefetch:
// what it opens was not opened by a person. Scanners that pass for a browser
// can't be told; programs that name themselves as what they are, such as an
// app's own client, are not taken for scanners.
func (c *Call) IsRobot() bool {
	h := c.R.Header
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if strings.Contains(strings.ToLower(h.Get(name)), "pre") || strings.EqualFold(h.Get(name), "preview") {
			return true
		}
	}
	if c.R.Method == http.MethodHead {
		return true
	}
	agent := strings.ToLower(c.R.UserAgent())
	for _, word := range []string{"bot", "crawl", "spider", "scan", "preview", "safelinks", "urldefense", "proofpoint", "mimecast", "barracuda"} {
		if strings.Contains(agent, word) {
			return true
		}
	}
	return agent == ""
}
