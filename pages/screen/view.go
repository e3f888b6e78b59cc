package screen

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Root is where all of Gatehouse's own paths begin.
const Root = "/_gatehouse/"

// Where the account page and its tokens stand.
const (
	AccountPath = Root + "account"
	TokensPath  = AccountPath + "/tokens"
)

// ViewVersion is the version of View's fields. Within a version fields are only
// added, so a template written for it goes on working.
const ViewVersion = 1

// View is what a page's template can show; what a screen has no use for is empty.
type View struct {
	Version int    // ViewVersion
	Screen  string // login, code, link, notme, logout, account, tokens, sites, app, consent or problem
	State   string // which of the screen's states, as in docs/templates.md
	Title   string // for <title>, complete
	Heading string // for <h1>
	Lang    string // BCP 47
	Dir     string // ltr or rtl

	Site     string // the brand's name, else the host
	Host     string // the host that was asked for
	Logo     string // path of the logo, empty for none
	LogoDark string // of the one for dark pages, empty for none of its own
	Support  string // address for help, empty for none
	Script   string // path of the optional script, empty for none

	Address  string // whose sign-in this is, for display
	Username string // the same, in ASCII, for password managers
	Session  string // who is signed in in this browser, empty for nobody
	Replaces bool   // signing in replaces Session, which is somebody else's

	Error  template.HTML // what is wrong with what was sent, empty for nothing
	Field  string        // id of the field that Error is about, empty for none
	Notice template.HTML // what has just happened, empty for nothing
	Text   template.HTML // what a problem page says, or the page of a dead code or link

	Email     string // what stands in the field for the address
	ReturnTo  string // hidden field return_to, empty for none
	Public    bool   // the box for a public computer is ticked
	UILocales string // hidden field ui_locales, empty for none
	Flow      string // hidden field flow, empty for none

	Open     bool // whoever proves an address is admitted, so that a page may say what was sent
	Digits   int  // of a code
	Minutes  int  // that code and link live
	Delay    int  // minutes that mail to the address usually takes, if that is long
	HasForm  bool
	Resend   bool   // the mail may be asked for again, now or later
	ResendIn int    // seconds until then
	When     string // the same in words, as in "in 12 minutes"
	AskedAt  string // when the mail was asked for, in UTC
	Agent    string // the browser that asked, as in "Firefox on Windows"
	Network  string // where that was, coarsely

	Continue  string     // address to go on at when already signed in
	Login     string     // path of the sign-in page, or its address on another host
	Home      string     // of Gatehouse's pages, where that is another host
	Account   string     // address of the account page, empty where nobody is signed in
	Launcher  string     // address of the list of sites, empty for none
	Some      bool       // of not_allowed: only a part of the site is closed
	Part      string     // its paths, as the site's configuration has them; empty where it has none
	Detail    string     // for whoever runs the site
	Reference string     // to find the problem in the log; of login and code: for whoever runs the site
	Sites     []SiteLink // that the screen lists
	Tokens    []TokenView
	Days      []int  // lives of a token to choose from
	Secret    string // of a token just made, shown this once; of app a code
	Name      string // what the person wants to be called
	Sessions  []SessionView
	Attempts  []AttemptView
	Child     bool     // of logout: a portal's session goes on when this one ends alone
	Family    bool     // of logout: it also signs out of sites that are not listed
	Elsewhere SiteLink // of account and tokens: where the whole account is, empty for nowhere else
	Action    string   // of app and consent: where the form is posted
	Submit    string   // of app and consent: what the button says
	Fields    []Field  // of app and consent: hidden fields of the form
	Asker     string   // the app on whose behalf somebody signs in, empty for nobody's
	Cancel    string   // path back to Asker without a sign-in
	Offline   bool     // of consent: the app learns that the sign-in lasts
	Apps      []AppView

	words    *Catalog
	switcher switcher
	style    template.HTML
	target   origin.Origin // where the form may lead in the end
	leads    string        // the same of an app, as the policy names it
	anywhere bool          // it may lead to any site
}

// T returns the text with this key in the language of the page, with the
// fields of the View in the place of {address}, {site} and so on.
func (v *View) T(key string) (template.HTML, error) { return v.N(key, 0) }

// N is T for a text that depends on a number.
func (v *View) N(key string, n int) (template.HTML, error) {
	if !v.words.has(key) {
		return "", errNoText(key)
	}
	return v.words.sayHTML(key, n, v.value), nil
}

// Raw returns the text with this key as the catalog has it, for the script.
func (v *View) Raw(key string) (string, error) {
	if !v.words.has(key) {
		return "", errNoText(key)
	}
	return v.words.text(key, 0), nil
}

func errNoText(key string) error {
	return fmt.Errorf("there is no text %q; the keys are those of locales/en.json", key)
}

// Style returns the style element of every page, the only one that is admitted.
func (v *View) Style() template.HTML { return v.style }

// value is what stands in a text in the place of {name}.
func (v *View) value(name string) string {
	switch name {
	case "address":
		return v.Address
	case "session":
		return v.Session
	case "app":
		return v.Asker
	case "name":
		return v.Name
	case "part":
		return v.Part
	case "site":
		return v.Site
	case "host":
		return v.Host
	case "when":
		return v.When
	case "time":
		return v.AskedAt
	case "agent":
		return v.Agent
	case "network":
		return v.Network
	case "support":
		return v.Support
	case "digits":
		return strconv.Itoa(v.Digits)
	case "reference":
		return v.Reference
	}
	return ""
}

// view begins the view of a screen at an origin, which may be zero.
func (l *Look) View(words *Catalog, at origin.Origin, screen, state string) *View {
	v := &View{
		Version: ViewVersion, Screen: screen, State: state,
		Lang: words.Lang(), Dir: words.direction(),
		Host: at.Host(), Site: l.siteName(at), Support: l.brand.Support,
		Digits: authcore.DefaultCode.Digits, Minutes: WholeMinutes(authcore.DefaultCode.Lifetime),
		words: words, style: l.styles[screen].element,
	}
	if !at.IsZero() {
		v.Script, v.Logo, v.LogoDark = l.scriptPath, l.logo, l.dark
	}
	return v
}

// Monogram is the first letter or digit of Site, for who has no logo.
func (v *View) Monogram() string { return monogram(v.Site) }

func monogram(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}

// Titled sets heading and title. A page with an error says so first in its
// title, which is what a screen reader reads first.
func (v *View) Titled(key string) {
	if v.Heading == "" { // else that of a dead code
		v.Heading = v.words.say(key, 0, v.value)
	}
	v.headed(v.Heading)
}

func (v *View) headed(heading string) {
	v.Heading = heading
	if v.Title = heading; v.Site != "" { // else nobody knows which: of a host that is no site's
		v.Title = v.words.say("title", 0, given("title", heading, "site", v.Site))
	}
	if v.Error != "" {
		v.Title = v.words.say("title.error", 0, given("title", v.Title))
	}
}

// fieldOf names the field that an error is about, by the error's text.
var fieldOf = map[string]string{
	"login.empty": "email", "login.malformed": "email", "notme.wrong": "email",
	"code.empty": "code", "code.short": "code", "code.wrong": "code",
	"app.pair.malformed": "digits", "app.pair.wrong": "digits", "app.stop.wrong": "email",
	"account.name_bad": "name", "account.not_sure": "sure", "tokens.bad": "name", "tokens.taken": "name", "tokens.bad_site": "site", "tokens.bad_until": "days",
}

// Fail shows an error, at the field that it is about.
func (v *View) Fail(key string, n int) {
	v.Error, v.Field = v.words.sayHTML(key, n, v.value), fieldOf[key]
}

// Note shows a notice.
func (v *View) Note(key string) { v.Notice = v.words.sayHTML(key, 0, v.value) }

// LeadTo says where the form may lead in the end.
func (v *View) LeadTo(o origin.Origin) { v.target = o }

// For has the view speak of the site that a sign-in is for, where that has a title
// of its own: at a portal the visitor comes from there and goes back.
func (l *Look) For(v *View, o origin.Origin) {
	if titled := l.Titled(o); titled != "" {
		v.Site = titled
	}
}

// policy is the content policy of a page at an origin. Style is allowed by its
// hash and the script by its address, because the app on the same host may serve
// files that its visitors uploaded. Chromium applies form-action to redirects as
// well, so it names where the form may lead in the end.
func (l *Look) Policy(v *View, at origin.Origin) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src " + l.styles[v.Screen].source)
	if v.Script != "" {
		b.WriteString("; script-src " + at.String() + v.Script)
	}
	b.WriteString("; img-src data:")
	if v.hasPictures() {
		b.WriteString(" " + at.String() + Root) // nothing of the app's is below it
	}
	b.WriteString("; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	switch {
	case v.anywhere:
		b.WriteString(" https: http:")
	case !v.target.IsZero() && v.target != at:
		b.WriteString(" " + v.target.String())
	}
	if v.leads != "" {
		b.WriteString(" " + v.leads)
	}
	b.WriteString("; require-trusted-types-for 'script'")
	return b.String()
}

func (v *View) hasPictures() bool {
	return v.Logo != "" || v.LogoDark != "" || slices.ContainsFunc(v.Sites, func(s SiteLink) bool { return s.Picture != "" })
}

// SiteLink is a site that a page names.
type SiteLink struct {
	Name    string // the title with the host, or the host
	URL     string
	Title   string // the title, or the host
	Host    string
	Picture string // path, empty for none
}

// Monogram is for a site without a picture.
func (s SiteLink) Monogram() string { return monogram(s.Title) }
