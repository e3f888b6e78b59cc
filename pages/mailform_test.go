package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// A mail that is put together is the one that the templates make, whoever had
// one before.
func TestMailsAreWhatTheTemplatesMake(t *testing.T) {
	look, err := NewLook(Brand{Name: `A+B & "C" <d> {address} '`, Support: "o'help+1@example.com"})
	check(t, err)
	for _, subjectCode := range []bool{false, true} {
		m, err := NewMails(MailConfig{SubjectCode: subjectCode, Look: look})
		check(t, err)
		if n := len(m.view(authcore.Letter{}).gaps()); n > gapNumber {
			t.Fatalf("%d gaps and %d marks for texts", n, gapNumber)
		}
		for _, l := range variedLetters(t, m.look) {
			v := m.view(l)
			wantText, wantHTML, err := m.look.mails.render(v)
			check(t, err)
			got, err := m.Compose(l)
			check(t, err)
			if got.Text != wantText || plainly(got.HTML) != plainly(wantHTML) {
				t.Fatalf("%+v:\n%s\n%s\nwant\n%s\n%s", l, got.Text, got.HTML, wantText, wantHTML)
			}
			if strings.Contains(got.Subject, "482913") != (subjectCode && l.Code != "") {
				t.Errorf("the subject is %q", got.Subject)
			}
		}
		if n := len(m.forms.made); n != maxKept {
			t.Errorf("%d forms are kept, want %d", n, maxKept)
		}
	}
}

// variedLetters are the samples with each part of them changed or left out.
func variedLetters(t *testing.T, look *Look) []authcore.Letter {
	to, err := address.Parse("o'hara+list&x@a-rather-long-host-name.example.com")
	check(t, err)
	var all []authcore.Letter
	for _, c := range look.languages.all {
		for _, sample := range SampleLetters(c.lang()) {
			for _, change := range []func(*authcore.Letter){
				func(*authcore.Letter) {},
				func(l *authcore.Letter) { l.To = to },
				func(l *authcore.Letter) { l.Site = mustOrigin(t, "https://other.example.com:8443") },
				func(l *authcore.Letter) { l.Lifetime = time.Minute },
				func(l *authcore.Letter) { l.NotMe = "" },
				func(l *authcore.Letter) { l.Network = "" },
				func(l *authcore.Letter) { l.Agent = "" },
				func(l *authcore.Letter) { l.Agent = "curl/8 <b>" },
				func(l *authcore.Letter) { l.AskedAt = l.AskedAt.Add(time.Hour) },
			} {
				l := sample
				change(&l)
				all = append(all, l)
			}
		}
	}
	return all
}
