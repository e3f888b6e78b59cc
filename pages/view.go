package pages

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// ViewVersion is the version of View's fields. Within a version fields are only
// added, so a template written for it goes on working.
const ViewVersion = 1

// View is what a page's template can show. Fields that a screen has no use for
// are empty.
type View struct {
	Version int    // ViewVersion
	Screen  string // login, code, link, notme, logout, account, tokens, sites, app or problem
	State   string // which of the screen's states, as in docs/templates.md
	Title   string // for <title>, complete
	Heading string // for <h1>
	Lang    string // BCP 47
	Dir     string // ltr or rtl

	Site    string // the brand's name, else the host
	Host    string // the host that was asked for
	Logo    string // path of the logo, empty for none
	Support string // address for help, empty for none
	Script  string // path of the optional script, empty for none

	Address  string // whose sign-in this is, for display
	Username string // the same, in ASCII, for password managers
	Session  string // who is signed in in this browser, empty for nobody
	Replaces bool   // signing in replaces Session, which is somebody else's

	Error  template.HTML // what is wrong with what was sent, empty for nothing
	Field  string        // id of the field that Error is about, empty for none
	Notice template.HTML // what has just happened, empty for nothing
	Text   template.HTML // what a problem page says

	Email     string // what stands in the field for the address
	ReturnTo  string // hidden field return_to, empty for none
	Public    bool   // the box for a public computer is ticked
	UILocales string // hidden field ui_locales, empty for none
	Flow      string // hidden field flow, empty for none

	Digits   int // of a code
	Minutes  int // that code and link live
	HasForm  bool
	Resend   bool   // the mail may be asked for again, now or later
	ResendIn int    // seconds until then
	When     string // the same in words, as in "in 12 minutes"
	AskedAt  string // when the mail was asked for, in UTC
	Agent    string // the browser that asked, as in "Firefox on Windows"
	Network  string // where that was, coarsely

	Continue  string     // address to go on at when already signed in
	Login     string     // path of the sign-in page
	Detail    string     // for whoever runs the site
	Reference string     // to find the problem in the log
	Sites     []SiteLink // that the screen lists
	Tokens    []TokenView
	Days      []int  // lives of a token to choose from
	Secret    string // of a token just made, shown this once
	Name      string // what the person wants to be called
	Sessions  []SessionView
	Attempts  []AttemptView
	Child     bool     // of logout: a portal's session goes on when this one ends alone
	Family    bool     // of logout: it also signs out of sites that are not listed
	Elsewhere SiteLink // of account and tokens: where the whole account is, empty for nowhere else
	Action    string   // of app: where the form is posted
	Submit    string   // of app: what the button says
	Fields    []Field  // of app: hidden fields of the form

	words    *catalog
	switcher switcher
	style    template.HTML
	target   origin.Origin // where the form may lead in the end
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

// Raw returns the text with this key as it stands in the catalog, for the
// script to fill.
func (v *View) Raw(key string) (string, error) {
	if !v.words.has(key) {
		return "", errNoText(key)
	}
	return v.words.text(key, 0), nil
}

func errNoText(key string) error {
	return fmt.Errorf("there is no text %q; the keys are those of locales/en.json", key)
}

// Style returns the style element of every page. The page's policy admits no
// other.
func (v *View) Style() template.HTML { return v.style }

// value is what stands in a text in the place of {name}.
func (v *View) value(name string) string {
	switch name {
	case "address":
		return v.Address
	case "session":
		return v.Session
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
func (l *Look) view(words *catalog, at origin.Origin, screen, state string) *View {
	v := &View{
		Version: ViewVersion, Screen: screen, State: state,
		Lang: words.lang(), Dir: words.direction(),
		Host: at.Host(), Site: l.siteName(at), Support: l.brand.Support,
		Digits: authcore.DefaultCode.Digits, Minutes: wholeMinutes(authcore.DefaultCode.Lifetime),
		words: words, style: l.element,
	}
	if !at.IsZero() {
		v.Script, v.Logo = l.scriptPath, l.logoPath
	}
	return v
}

// view begins the view of a screen for this visitor.
func (e *exchange) view(screen, state string) *View {
	v := e.p.look.view(e.words, e.v.Origin, screen, state)
	v.UILocales, v.Login = e.asked, loginPath(origin.ReturnTo{}, e.v.Origin, e.asked)
	if e.p.service != nil {
		v.Digits = e.p.service.CodeRule().Digits
		v.Minutes = wholeMinutes(e.p.service.CodeRule().Lifetime)
	}
	if s := e.v.Session; s != nil {
		v.Session = s.Address.Display()
	}
	return v
}

// titled sets heading and title. A page with an error says so first in its
// title, which is what a screen reader reads first.
func (v *View) titled(key string) { v.headed(v.words.say(key, 0, v.value)) }

func (v *View) headed(heading string) {
	v.Heading = heading
	v.Title = v.words.say("title", 0, given("title", v.Heading, "site", v.Site))
	if v.Error != "" {
		v.Title = v.words.say("title.error", 0, given("title", v.Title))
	}
}

// fieldOf names the field that an error is about, by the error's text.
var fieldOf = map[string]string{
	"login.empty": "email", "login.malformed": "email", "notme.wrong": "email",
	"code.empty": "code", "code.short": "code", "code.wrong": "code",
	"app.pair.malformed": "digits", "app.pair.wrong": "digits", "app.stop.wrong": "email",
	"account.name_bad": "name", "account.not_sure": "sure", "tokens.bad": "name",
}

func (v *View) fail(key string, n int) {
	v.Error, v.Field = v.words.sayHTML(key, n, v.value), fieldOf[key]
}

func (v *View) note(key string) { v.Notice = v.words.sayHTML(key, 0, v.value) }

// loginPath is the sign-in page with what it should know.
func loginPath(to origin.ReturnTo, own origin.Origin, locales string) string {
	q := url.Values{}
	if to.Location(own) != "/" {
		q.Set("return_to", to.Location(own))
	}
	if locales != "" {
		q.Set("ui_locales", locales)
	}
	if len(q) == 0 {
		return Root + "login"
	}
	return Root + "login?" + q.Encode()
}

// location is where a browser goes after signing in. The address comes out of
// the store or a form, and the configuration may have changed since.
func (e *exchange) location(to origin.ReturnTo) string {
	return to.Recheck(e.v.Origin, e.p.service.Protects).Location(e.v.Origin)
}
