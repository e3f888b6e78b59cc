package pages

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/netip"

	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Config is what pages are made of.
type Config struct {
	Service *authcore.Service
	Groups  *policy.Groups // whose names /_gatehouse/session tells; may be nil
	Look    *screen.Look   // nil: the one that comes with Gatehouse
	Log     *slog.Logger   // nil: no log
	// Open says that whoever proves an address may sign in, so that the page
	// may say "we've sent" instead of "if this address can sign in".
	Open bool
	// Sites lists what the person of a session may open; nil: the visited site.
	Sites func(*session.Session) []origin.Origin
	// Opens tells whether the person of a session may open a site; nil: any.
	Opens func(*session.Session, origin.Origin) bool
	// Passes tells whether no gate keeps the person of a session from an address; nil:
	// it can't be told.
	Passes func(*session.Session, origin.ReturnTo, netip.Addr) bool
	// Asker tells on whose behalf somebody signs in who goes on at a path of this
	// origin afterwards; nil: on nobody's.
	Asker func(path string) screen.Asker
	// Cookies are what ours are called.
	Cookies Cookies
}

// Visit is what the gate knows of one request, already in canonical form.
type Visit struct {
	Origin origin.Origin
	Client netip.Addr
	// Session is the live session at Origin, nil for none.
	Session *session.Session
	// SessionCookies is how many session cookies of the right name the request
	// carried. More than one without a Session: nobody can tell whose it is,
	// and the next sign-in page takes them all back.
	SessionCookies int
	// Portal is where people sign in for this origin; zero or Origin itself: here.
	Portal origin.Origin
	// IsPortal says that sessions of Origin may be handed over to other sites.
	IsPortal bool
	// Private: the address of the request may hold a token, which goes to no log.
	Private bool
	// Account is what the account page at Origin may show and do.
	Account Account
}

// Account is what the account page of an origin may show and do. The app of a
// site has the same origin as our pages there, so that its scripts can read and
// send what its visitors can. The zero value is the careful one: this browser's
// session, and tokens for this very site.
type Account struct {
	Whole bool          // all that concerns the person
	At    origin.Origin // unless Whole: where the whole page is, zero for nowhere
}

// Pages serves the browser's side of one configuration. It is safe for
// concurrent use.
type Pages struct {
	service *authcore.Service
	groups  *policy.Groups
	look    *screen.Look
	log     *slog.Logger
	open    bool
	sites   func(*session.Session) []origin.Origin
	opens   func(*session.Session, origin.Origin) bool
	passes  func(*session.Session, origin.ReturnTo, netip.Addr) bool
	asker   func(path string) screen.Asker
	cookies Cookies
}

// New makes the pages of a configuration.
func New(c Config) (*Pages, error) {
	p := &Pages{service: c.Service, groups: c.Groups, look: c.Look, log: c.Log, open: c.Open, sites: c.Sites, opens: c.Opens, passes: c.Passes, asker: c.Asker, cookies: c.Cookies}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.look == nil {
		look, err := screen.PlainLook()
		if err != nil {
			return nil, err
		}
		p.look = look
	}
	return p, nil
}

// exchange is one request to a page and its answer.
type exchange struct {
	p *Pages
	w http.ResponseWriter
	r *http.Request
	v Visit

	jar      jar
	browser  session.Browser
	twoFlows bool            // the browser sent two flow cookies; neither counts
	token    string          // the last part of the path of a link
	form     form            // the body of a POST
	words    *screen.Catalog // the language of the answer
	asked    string          // ui_locales, as the visitor asked for it
}

func (p *Pages) exchange(w http.ResponseWriter, r *http.Request, v Visit) *exchange {
	e := &exchange{p: p, w: w, r: r, v: v, jar: newJar(w.Header(), v.Origin, p.domain(), p.cookies)}
	e.browser = session.Browser{Origin: v.Origin, Session: v.Session, Held: p.cookies.presentedSessions(r), Client: v.Client, UserAgent: r.UserAgent()}
	e.browser.Flow, e.twoFlows = e.jar.ownCookie(r.Header, flowWord)
	e.browser.Device, _ = e.jar.ownCookie(r.Header, deviceWord)
	e.asked = firstOf(r.URL.Query()["ui_locales"])
	e.words = p.look.Choose(e.asked, r.Header.Get("Accept-Language"))
	return e
}

func (p *Pages) domain() string {
	if p.service == nil {
		return ""
	}
	return p.service.Domain()
}

// speak goes on in the language of a sign-in under way, unless the visitor
// asks for another.
func (e *exchange) speak(lang string) {
	if e.asked == "" && lang != "" {
		e.words = e.p.look.Choose(lang, "")
	}
}

func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// view begins the view of a screen for this visitor.
func (e *exchange) view(shown, state string) *screen.View {
	v := e.p.look.View(e.words, e.v.Origin, shown, state)
	v.UILocales, v.Login = e.asked, loginPath(origin.ReturnTo{}, e.v.Origin, e.asked)
	if e.p.service != nil {
		v.Digits = e.p.service.CodeRule().Digits
		v.Minutes = screen.WholeMinutes(e.p.service.CodeRule().Lifetime)
	}
	if s := e.v.Session; s != nil {
		v.Session = s.Address.Display()
		v.Account, v.Launcher = cmp.Or(e.wholeAccount(screen.AccountPath).URL, screen.AccountPath), e.launcher()
	}
	return v
}

// launcher is the address of the portal's front page, which lists what a person may
// open; empty where there is none.
func (e *exchange) launcher() string {
	switch a := e.v.Account; {
	case !a.At.IsZero():
		return a.At.String() + "/"
	case a.Whole && e.v.IsPortal:
		return "/"
	}
	return ""
}

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
		return screen.Root + "login"
	}
	return screen.Root + "login?" + q.Encode()
}

// leadTo says where a form leads in the end: back to the site, or to the app on
// whose behalf somebody signs in.
func (e *exchange) leadTo(v *screen.View, to origin.ReturnTo) {
	v.LeadTo(to.Origin())
	if e.p.asker != nil && to.Origin() == e.v.Origin {
		v.Ask(e.p.asker(to.Path()))
	}
}

// location is where a browser goes after signing in. The address comes out of
// the store or a form, and the configuration may have changed since.
func (e *exchange) location(to origin.ReturnTo) string {
	return to.Recheck(e.v.Origin, e.p.service.Protects).Location(e.v.Origin)
}
