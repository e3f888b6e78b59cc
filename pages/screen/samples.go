package screen

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// What the samples show. The addresses are reserved for examples.
const (
	sampleOrigin    = "https://wiki.example.com"
	sampleAddress   = "name@example.com"
	sampleSession   = "someone.else@example.com"
	sampleNetwork   = "203.0.113.0/24"
	sampleApp       = "Example Shop"
	sampleReference = "KTRWPB"
	sampleAppLink   = "https://shop.example.com/auth/verify?token="
)

// SampleTime is when the samples are looked at.
var SampleTime = time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC)

const (
	sampleAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0"
	samplePhone = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36"
)

// sampler makes one view of a screen after another.
type sampler struct {
	l     *Look
	words *Catalog
	at    origin.Origin
	all   []*View
}

// Samples returns every screen in every state, in one language: for previews,
// pictures and tests. The same calls that serve visitors fill them.
func (l *Look) Samples(lang string) []*View {
	at, err := origin.Parse(sampleOrigin)
	if err != nil {
		panic(err) // a constant
	}
	s := &sampler{l: l, words: l.languages.choose(lang, ""), at: at}
	s.login()
	s.code()
	s.codeDead()
	s.link()
	s.rest()
	s.apps()
	return s.all
}

// add adds a view that fill completes.
func (s *sampler) add(screen, state, title string, fill func(*View)) {
	v := s.l.View(s.words, s.at, screen, state)
	v.Login = Root + "login"
	if fill != nil {
		fill(v)
	}
	if title != "" {
		v.Titled(title)
	}
	s.all = append(s.all, v)
}

func (s *sampler) login() {
	languages := func(v *View) { v.switcher = s.l.languages.switcher(s.words, nil) }
	failed := func(email, key string) func(*View) {
		return func(v *View) {
			languages(v)
			v.Email, v.When = email, s.words.When(12*time.Minute)
			v.Fail(key, 0)
		}
	}
	s.add("login", "form", "login.title", languages)
	s.add("login", "form", "login.title", func(v *View) {
		languages(v)
		v.Note("problem.no_flow")
	})
	s.add("login", "signed_in", "login.title", func(v *View) {
		languages(v)
		v.Session, v.Continue = sampleAddress, "/"
	})
	for _, note := range []string{"login.revoked", "login.ended"} {
		s.add("login", "form", "login.title", func(v *View) {
			languages(v)
			v.Note(note)
		})
	}
	s.add("login", "again", "login.title", func(v *View) {
		languages(v)
		v.Session, v.Email = sampleAddress, sampleAddress
	})
	s.add("login", "form", "login.title", func(v *View) {
		languages(v)
		v.Ask(sampleAsker)
	})
	s.add("login", "malformed", "login.title", failed("name@example", "login.malformed"))
	s.add("login", "limited", "login.title", failed(sampleAddress, "login.limited"))
	s.add("login", "mail_down", "login.title", func(v *View) {
		failed(sampleAddress, "login.mail_down")(v)
		v.Reference = sampleReference
	})
}

func (s *sampler) codeView(state string, fill func(*View)) {
	s.add("code", state, "code.title", func(v *View) {
		v.HasForm, v.Resend = true, true
		v.Flow, v.Address, v.Username = "AAAAAAAAAAAA", sampleAddress, sampleAddress
		v.ResendIn, v.When = 54, s.words.When(54*time.Second)
		if fill != nil {
			fill(v)
		}
	})
}

func (s *sampler) code() {
	s.codeView("sent_if", nil)
	s.codeView("sent", func(v *View) { v.Open = true })
	s.codeView("sent", func(v *View) { v.Open, v.Delay = true, 6 })
	s.codeView("resent", func(v *View) { v.Note("code.resent") })
	s.codeView("replaces", func(v *View) { v.Session, v.Replaces = sampleSession, true })
	s.codeView("malformed", func(v *View) { v.Fail("code.short", 5) })
	s.codeView("wrong", func(v *View) { v.Fail("code.wrong", 3) })
	s.codeView("expired_resent", func(v *View) { v.Fail("code.expired_resent", 0) })
	s.codeView("resend_limited", func(v *View) {
		v.When = s.words.When(12 * time.Minute)
		v.Fail("code.resend_limited", 0)
	})
	s.codeView("mail_down", func(v *View) { v.Fail("code.mail_down", 0) })
	for _, note := range []string{"code.mail_down", "code.mail_back"} {
		s.codeView("mail_down", func(v *View) {
			v.Reference = sampleReference
			v.Note(note)
		})
	}
	s.codeView("mail_delayed", func(v *View) { v.Note("code.mail_delayed") })
}

func (s *sampler) codeDead() {
	for _, verdict := range []event.Verdict{event.Expired, event.Locked, event.CodesOff} {
		s.codeView("", func(v *View) {
			v.ResendIn = 40 * 60
			v.Explain(verdict, 40*time.Minute)
		})
	}
	s.codeView("", func(v *View) {
		v.Continue = "/"
		v.Explain(event.Used, 0)
	})
}

func (s *sampler) link() {
	asked := func(v *View) {
		v.Address, v.AskedAt, v.Agent, v.Network = sampleAddress, UTC(SampleTime), s.words.Agent(sampleAgent), Near(sampleNetwork)
	}
	ready := func(v *View) {
		asked(v)
		v.HasForm = true
	}
	s.add("link", "ready", "link.title", ready)
	s.add("link", "replaces", "link.title", func(v *View) {
		ready(v)
		v.Session, v.Replaces = sampleSession, true
	})
	s.add("link", "elsewhere", "link.elsewhere.title", asked)
	s.add("link", "elsewhere_link", "link.elsewhere.title", asked)
	s.add("link", "used", "", func(v *View) {
		v.Session, v.Continue = sampleAddress, "/"
		v.Dead(event.Used)
	})
	for _, verdict := range []event.Verdict{event.Expired, event.Locked, event.Unknown} {
		s.add("link", "", "", func(v *View) {
			v.Flow, v.Resend = "AAAAAAAAAAAA", verdict != event.Unknown
			v.Dead(verdict)
		})
	}
}

// others are sites beside the one that is shown: the portal, and those that it
// lists.
func (s *sampler) others() []SiteLink {
	link := func(host, title string) SiteLink {
		name := host
		if title != host {
			name = title + " (" + host + ")"
		}
		return SiteLink{Name: name, URL: "https://" + host + "/", Title: title, Host: host}
	}
	return []SiteLink{link("auth.example.com", "auth.example.com"), link("files.example.org", "Files"), link("board.example.com", "Board"), link("shop.example.com", "shop.example.com")}
}

func (s *sampler) rest() {
	s.add("notme", "form", "notme.title", nil)
	s.add("notme", "wrong", "notme.title", func(v *View) {
		v.Email = sampleSession
		v.Fail("notme.wrong", 0)
	})
	s.add("notme", "done", "notme.done.title", nil)
	s.add("logout", "confirm", "logout.title", func(v *View) { v.Session, v.Account = sampleAddress, AccountPath })
	s.add("logout", "confirm", "logout.title", func(v *View) {
		v.Session, v.Account, v.Sites, v.Child = sampleAddress, AccountPath, s.others(), true
	})
	s.add("logout", "confirm", "logout.title", func(v *View) {
		v.Session, v.Account, v.Family, v.Child = sampleAddress, AccountPath, true, true
	})
	s.add("logout", "left", "logout.done.title", func(v *View) { v.Sites = s.others()[:1] })
	s.add("logout", "out", "logout.done.title", nil)
	s.account()
	for _, state := range []string{"consent", "sign_up"} {
		s.add("consent", state, "", func(v *View) {
			v.Session = sampleAddress
			v.Consent(ConsentPage{Asker: sampleAsker, SignUp: state == "sign_up", Action: "/oauth2/consent", Request: "client_id=shop", Mark: "mark", Email: true, Name: "Name", Offline: true})
		})
	}
	s.add("sites", "some", "sites.title", func(v *View) { v.Session, v.Account, v.Sites = sampleAddress, AccountPath, s.others()[1:] })
	s.add("sites", "none", "sites.title", func(v *View) { v.Session, v.Account = sampleAddress, AccountPath })
	for _, closed := range []string{"", "/admin"} {
		s.add("problem", string(NotAllowed), "", func(v *View) {
			v.Session, v.Account, v.Launcher = sampleAddress, "https://auth.example.com"+AccountPath, "https://auth.example.com/"
			v.Some, v.Part, v.Continue = true, closed, "/"
			v.Problem(NotAllowed)
		})
	}
	for _, kind := range []ProblemKind{NotAllowed, MayOpen, ClientIP, BadOrigin, InsecureHTTP, Unavailable, BadApp, NotFound, BadMethod, CrossSite, BadForm, TooSlow, TooEarly, NoFlow} {
		s.add("problem", string(kind), "", func(v *View) {
			v.Session = sampleAddress
			switch kind {
			case NotAllowed:
				v.Account = AccountPath
			case MayOpen:
				v.Account, v.Continue = AccountPath, "/"
			case BadOrigin:
				v.Detail = "the request came for http://10.0.0.7; write: origin http://10.0.0.7"
			case InsecureHTTP:
				v.Detail = "write insecure_http on, or listen on https"
			case BadApp:
				v.Detail = "client_id is missing: the id of an app block."
			case CrossSite:
				v.Detail = "Origin: " + sampleOrigin
			case Unavailable:
				v.Reference, v.Continue = "0badcafe", "/"
			}
			v.Problem(kind)
		})
	}
}

var sampleAsker = Asker{Name: sampleApp, Cancel: "/oauth2/authorize?client_id=shop&gatehouse_cancel=1", Leads: "https://shop.example.com"}

// apps are the pages behind the links of apps.
func (s *sampler) apps() {
	add := func(page AppPage) {
		page.App, page.Address = sampleApp, sampleAddress
		s.add("app", string(page.State), "", func(v *View) { v.App(page) })
	}
	for _, state := range []AppState{
		AppConfirm, AppPair, AppDone, AppLogin, AppLoginDone, AppLoginFailed, AppStop, AppStopped,
		AppUnknown, AppGone, AppUsed, AppExpired, AppLocked, AppMismatch,
	} {
		add(AppPage{State: state})
	}
	add(AppPage{State: AppCode, Code: "482913"})
	add(AppPage{State: AppPair, Wrong: MalformedInput})
	add(AppPage{State: AppPair, Wrong: WrongInput, Tries: 2})
	add(AppPage{State: AppStop, Wrong: WrongInput})
	add(AppPage{State: AppStop, Wrong: LimitedInput, Wait: 12 * time.Minute})
}

func (s *sampler) account() {
	others := s.others()
	s.add("account", "shown", "account.title", func(v *View) {
		v.Session, v.Name, v.Launcher = sampleAddress, "Name", "/"
		v.Sessions, v.Attempts = s.words.sampleAccount()
	})
	s.add("account", "shown", "account.title", func(v *View) {
		v.Session, v.Apps = sampleAddress, []AppView{s.words.App("shop", sampleApp)}
		v.Sessions, v.Attempts = s.words.sampleAccount()
	})
	s.add("account", "shown", "account.title", func(v *View) {
		v.Session = sampleAddress
		v.Sessions, _ = s.words.sampleAccount()
		v.Fail("account.not_sure", 0)
	})
	for _, done := range []string{"ended", "ended_others", "saved", "withdrawn"} {
		s.add("account", done, "account.title", func(v *View) {
			v.Session = sampleAddress
			v.Sessions, v.Attempts = s.words.sampleAccount()
			v.Note("account." + done)
		})
	}
	whole := others[0]
	whole.URL = "https://auth.example.com" + AccountPath
	own := func(v *View) {
		v.Session, v.Account, v.Launcher = sampleAddress, whole.URL, others[0].URL
		v.Sessions, _ = s.words.sampleAccount()
		v.Sessions = v.Sessions[:1]
		v.Sessions[0].Sites = []string{s.at.Host()}
	}
	s.add("account", "own", "account.title", func(v *View) {
		own(v)
		v.Elsewhere = whole
	})
	s.add("account", "own", "account.title", func(v *View) {
		own(v)
		v.Fail("account.not_here", 0)
	})
	s.add("tokens", "shown", "tokens.title", func(v *View) { v.Sites, v.Days = others, TokenDays })
	s.add("tokens", "own", "tokens.title", func(v *View) {
		v.Sites, v.Days, v.Tokens = []SiteLink{{Name: s.at.Host(), URL: s.at.String()}}, OwnTokenDays, s.words.sampleTokens()
		v.Elsewhere = SiteLink{Name: whole.Name, URL: "https://auth.example.com" + TokensPath}
	})
	s.add("tokens", "shown", "tokens.title", func(v *View) {
		v.Sites, v.Days, v.Secret, v.Tokens = others, TokenDays, "ght_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", s.words.sampleTokens()
		v.Note("tokens.ended")
	})
	for _, key := range []string{"tokens.bad", "tokens.too_many"} {
		s.add("tokens", "shown", "tokens.title", func(v *View) {
			v.Sites, v.Days = others, TokenDays
			v.Fail(key, 0)
		})
	}
}

// SampleLetters returns every mail, in one language.
func SampleLetters(lang string) []outbox.Letter {
	at, errOrigin := origin.Parse(sampleOrigin)
	to, errAddress := address.Parse(sampleAddress)
	if errOrigin != nil || errAddress != nil {
		panic("the samples are constants")
	}
	const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	letter := outbox.Letter{
		Kind: outbox.LetterSignIn, To: to, Site: at, Language: lang, Code: "482913",
		Link:     sampleOrigin + Root + "link/" + token,
		NotMe:    sampleOrigin + Root + "not-me/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		Lifetime: 10 * time.Minute, AskedAt: SampleTime, Agent: sampleAgent, Network: sampleNetwork,
	}
	linkOnly, notice, admitted := letter, letter, letter
	linkOnly.Code = ""
	notice.Kind, notice.Code, notice.NotMe, notice.Link = outbox.LetterNewDevice, "", "", sampleOrigin+Root+"account"
	admitted.Kind, admitted.Code, admitted.NotMe, admitted.Link = outbox.LetterAdmitted, "", "", notice.Link

	code := letter
	code.Kind, code.App, code.Link, code.NotMe = outbox.LetterCode, sampleApp, "", ""
	link := code
	link.Kind, link.Code, link.Lifetime, link.Link = outbox.LetterLink, "", time.Hour, sampleAppLink+token
	invite := link
	invite.Kind, invite.Lifetime, invite.NotMe = outbox.LetterInvite, 7*24*time.Hour, sampleAppLink+"stop-"+token
	into, plain := invite, link
	into.Into = "Acme"
	plain.Kind = outbox.LetterPlain
	return []outbox.Letter{letter, linkOnly, notice, admitted, code, link, invite, into, plain}
}
