package screen

import (
	"strings"
	"time"
)

// AppPage is one of the few pages behind the links of apps: a sentence, and a
// form where something is to be confirmed. Links in mails are opened by scanners
// too, so opening one never does anything; pressing the button does.
type AppPage struct {
	State   AppState
	App     string // its name, empty where the link does not tell whose it is
	Address string // whom the link is for, for display
	Code    string // with AppCode

	Action string  // path of this origin that the button posts to, empty: the page's own
	Fields []Field // hidden
	// Leads says that the answer to the form redirects to a page of the app, which
	// may redirect again. Browsers apply form-action to all redirects that follow:
	// it can't name hosts then.
	Leads bool

	Wrong AppError      // what was wrong with what was typed
	Tries int           // with WrongInput: how many are left
	Wait  time.Duration // with LimitedInput: until one may try again
}

// Field is a hidden field of a form.
type Field struct{ Name, Value string }

// AppState tells the pages of apps apart.
type AppState string

// The pages of apps.
const (
	AppConfirm     AppState = "confirm"      // a button to sign in
	AppPair        AppState = "pair"         // asks for two digits, as "digits"
	AppDone        AppState = "done"         // who waits in another window is signed in
	AppCode        AppState = "code"         // shows the code, as Secret
	AppLogin       AppState = "login"        // AppConfirm in the words of reflex
	AppLoginDone   AppState = "login_done"   //
	AppLoginFailed AppState = "login_failed" //
	AppStop        AppState = "stop"         // asks for the address, as "email", to stop invitations
	AppStopped     AppState = "stopped"      //
	// Links that do not work.
	AppUnknown  AppState = "unknown"
	AppGone     AppState = "gone" // what it leads to is not allowed any more
	AppUsed     AppState = "used"
	AppExpired  AppState = "expired"
	AppLocked   AppState = "locked"   // the digits were wrong too often
	AppMismatch AppState = "mismatch" // another browser than the one that asked
)

// AppError is what was wrong with what was typed into a form of AppPage.
type AppError string

const ( // of AppPair the first two, of AppStop the last two
	MalformedInput AppError = "malformed"
	WrongInput     AppError = "wrong"
	LimitedInput   AppError = "limited"
)

// appWords are the texts of a page: title, what it says, its button.
type appWords struct{ title, text, submit string }

var appTexts = map[AppState]appWords{
	AppConfirm:     {"app.title", "app.confirm", "link.submit"},
	AppPair:        {"app.title", "app.pair", "link.submit"},
	AppDone:        {"app.done.title", "app.done", ""},
	AppCode:        {"app.title", "app.code.intro", ""},
	AppLogin:       {"app.login.title", "app.login", "app.login.title"},
	AppLoginDone:   {"app.login_done.title", "app.login_done", ""},
	AppLoginFailed: {"app.login_failed.title", "app.login_failed", ""},
	AppStop:        {"app.stop.title", "app.stop", "app.stop.submit"},
	AppStopped:     {"app.stopped.title", "app.stopped", ""},
	AppUnknown:     {"app.dead.title", "app.dead.unknown", ""},
	AppGone:        {"app.dead.title", "app.dead.gone", ""},
	AppUsed:        {"app.dead.title", "app.dead.used", ""},
	AppExpired:     {"app.dead.title", "app.dead.expired", ""},
	AppLocked:      {"app.dead.title", "app.dead.locked", ""},
	AppMismatch:    {"app.dead.title", "app.dead.mismatch", ""},
}

// App completes the view of a page of an app.
func (v *View) App(page AppPage) {
	words := appTexts[page.State]
	v.Script, v.Logo, v.Login, v.Secret = "", "", "", page.Code
	v.Address, v.Action, v.Fields, v.anywhere = page.Address, page.Action, page.Fields, page.Leads
	if page.App != "" {
		v.Site, v.Support = page.App, ""
	}
	v.Text = v.words.sayHTML(words.text, 0, v.value)
	if v.HasForm = words.submit != ""; v.HasForm {
		v.Submit = v.words.say(words.submit, 0, v.value)
	}
	if page.Wrong != "" {
		v.When = v.words.When(page.Wait)
		v.Fail("app."+string(page.State)+"."+string(page.Wrong), page.Tries)
	}
	v.Titled(words.title)
	if strings.Contains(v.Heading, v.Site) { // once is enough
		v.Title = strings.Replace(v.Title, v.words.say("title", 0, given("title", v.Heading, "site", v.Site)), v.Heading, 1)
	}
}
