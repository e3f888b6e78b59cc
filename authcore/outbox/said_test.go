package outbox_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Servers repeat what they refuse, in every way that there is.
func TestWhatAServerRepeatsIsBlanked(t *testing.T) {
	const token = "Zm9vYmFyYmF6cXV1eC0xMjM0NTY3ODkwYWJjZGVm"
	m := outbox.Message{
		To: mustAddress("Alice.Smith+news@bücher.example"), Code: "482913", Link: "https://app.example.com/_gatehouse/link/" + token,
		Subject: "482913 is your code",
		Text:    "482913 is your code.\n\nhttps://app.example.com/_gatehouse/link/" + token + "\n\nNot you? https://app.example.com/_gatehouse/not-me/c2VjcmV0LW9mLW5vdC1tZQ\n",
	}
	for text, want := range map[string]string{
		"5.7.1 relay access denied":                            "5.7.1 relay access denied",
		"<alice.smith+news@xn--bcher-kva.example>: no":         "<[...]>: no",
		"ALICE.SMITH+NEWS@BÜCHER.EXAMPLE rejected":             "[...] rejected",
		"no user alice.smith+news here":                        "no user [...] here",
		"bounce-alice.smith+news=xn--bcher-kva.example@relay":  "bounce-[...]=xn--bcher-kva.example@relay",
		"alice.smith%2Bnews":                                   "[...]",
		"Subject: 482913 is spam":                              "Subject: [...] is spam",
		"no 482 913 here":                                      "no [...] here",
		"482-913, 4.8.2.9.1.3":                                 "[...]",
		"４８２９１３":                                               "[...]",
		"554 5.7.1 48 2913":                                    "[...]",
		"554 5.7.1 at 10:11":                                   "554 5.7.1 at 10:11",
		"x482913y":                                             "x[...]y",
		"see " + m.Link + " (bad)":                             "see [...] (bad)",
		"see " + strings.ToUpper(m.Link):                       "see [...]",
		"token " + token[:20]:                                  "token [...]",
		"link broken\r\n at " + token[:15] + "\n" + token[15:]: "link broken at [...] [...]",
		"c2VjcmV0LW9mLW5vdC1tZQ":                               "[...]",
		"password=hunter2 HUNTER2":                             "password=[...] [...]",
		"\x1b[31mred\x00\u202e":                                "[31mred",
		"see https://relay.example/help?code=5.7.1":            "see https://relay.example/help?code=5.7.1",
		"邮件被拒绝":                                                "邮件被拒绝",
	} {
		if got := m.Said(text, "hunter2"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for _, spelling := range []string{
		`p&ss "w\örd"/+=`, "cCZzcyAid1zDtnJkIi8rPQ==", "p%26ss+%22w%5C%C3%B6rd%22%2F%2B%3D", `p\u0026ss \"w\\örd\"/+=`, "p&amp;ss &#34;w\\örd&#34;/+=",
		"702673732022775cc3b67264222f2b3d",
	} {
		if got := m.Said("no: "+spelling, `p&ss "w\örd"/+=`); strings.Contains(got, "rd") || !strings.HasPrefix(got, "no: [...]") {
			t.Errorf("%q: %q", spelling, got)
		}
	}
	if got := m.Said(strings.Repeat("é", 1000)); len(got) > 300 || !strings.HasPrefix(got, "é") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := (outbox.Message{}).Said("hello 4829 alice"); got != "hello 4829 alice" {
		t.Error(got)
	}
	if got := m.Said(base64.StdEncoding.EncodeToString([]byte("a message of the server"))); got != "YSBtZXNzYWdlIG9mIHRoZSBzZXJ2ZXI=" {
		t.Error(got)
	}
}

func mustAddress(text string) address.Address {
	a, err := address.Parse(text)
	if err != nil {
		panic(err)
	}
	return a
}
