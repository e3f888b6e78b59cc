package screen

// Asker is the app on whose behalf somebody signs in. The zero Asker is nobody.
type Asker struct {
	Name   string
	Cancel string // path that leads back to the app without a sign-in
	Leads  string // where the app gets the browser back, as a content policy names it
}

// Ask says on whose behalf the form signs in, and lets it lead there.
func (v *View) Ask(a Asker) {
	if a == (Asker{}) {
		return
	}
	v.Asker, v.Cancel, v.leads = a.Name, a.Cancel, a.Leads
}

// ConsentPage asks a person whether an app may learn who they are, or invites
// them to sign up for it.
type ConsentPage struct {
	Asker
	SignUp  bool
	Action  string // path that the answer is posted to
	Request string // hidden field request_query
	Mark    string // hidden field mark: which question it is
	// What the app would learn beside whether it is the same person.
	Email   bool
	Name    string // empty: not that
	Offline bool   // whether the sign-in lasts, while the person is away
}

// Consent completes the view of a ConsentPage.
func (v *View) Consent(page ConsentPage) {
	v.Ask(page.Asker)
	v.Action, v.Fields = page.Action, []Field{{"request_query", page.Request}, {"mark", page.Mark}}
	v.Name, v.Offline = page.Name, page.Offline
	if page.Email {
		v.Email = v.Session
	}
	title, submit := "consent.title", "consent.allow"
	if page.SignUp {
		title, submit = "signup.title", "signup.submit"
	}
	v.Submit = v.words.say(submit, 0, v.value)
	v.Titled(title)
}
