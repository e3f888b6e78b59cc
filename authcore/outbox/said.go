package outbox

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// unsaid stands where a server's text repeated what nobody else may read.
	unsaid = "[...]"
	// maxSaid bounds a server's text, in bytes.
	maxSaid = 300
)

// What counts as repeated from the mail, if it stands there: URLs, digits that can
// be a code or a part of one, and words as long as a part of a token, not as one of
// a sentence.
var (
	saidURL    = regexp.MustCompile(`(?i)https?://[^\s<>"']+`)
	saidDigits = regexp.MustCompile(`[0-9]{4,}`)
	saidApart  = regexp.MustCompile(`\pN(?:[^\pL\pN]{0,3}\pN)+`) // as people write a code: 482 913, 482-913
	saidWord   = regexp.MustCompile(`[A-Za-z0-9_-]{12,}`)
)

// Said makes the text of a mail system's answer to m fit for logs and for the
// eyes of operators: one line of at most 300 bytes in which the recipient, the
// code, the link, whatever else is long enough to be told from the mail's own
// text, and the secrets given are blanked, also a code that is written apart. A
// server that encodes what it repeats is not understood: it has the mail anyhow.
// The zero Message has only the secrets.
func (m Message) Said(text string, secrets ...string) string {
	text = OneLine(text)
	for _, secret := range secrets {
		for _, spelling := range spellings(secret) {
			text = blankAll(text, spelling)
		}
	}
	mail := strings.ToLower(strings.Join([]string{m.Subject, m.Text, m.Code, m.Link}, "\n"))
	echoed := func(part string) string {
		if strings.Contains(mail, strings.ToLower(part)) {
			return unsaid
		}
		return part
	}
	text = saidURL.ReplaceAllStringFunc(text, func(found string) string {
		if strings.Contains(found, "/_gatehouse/") {
			return unsaid
		}
		return echoed(strings.TrimRight(found, ".,;:)]"))
	})
	text = saidWord.ReplaceAllStringFunc(text, echoed)
	text = saidApart.ReplaceAllStringFunc(text, func(found string) string {
		if m.Code != "" && strings.Contains(digitsOf(found), m.Code) {
			return unsaid
		}
		return found
	})
	text = saidDigits.ReplaceAllStringFunc(text, echoed)
	if m.Code != "" {
		text = blankAll(text, m.Code)
	}
	if !m.To.IsZero() {
		for _, name := range []string{m.To.String(), m.To.Display(), m.To.Local(), url.QueryEscape(m.To.Local())} {
			text = blankWord(text, name)
		}
	}
	if len(text) > maxSaid {
		cut := maxSaid
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return text
}

// spellings are a secret as it is and as programs write it: in base64, in a URL, in
// JSON, HTML and hexadecimal digits.
func spellings(secret string) []string {
	if secret == "" {
		return nil
	}
	inJSON, _ := json.Marshal(secret)
	return []string{
		secret, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="), strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
		url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(inJSON), `"`), html.EscapeString(secret), hex.EncodeToString([]byte(secret)),
	}
}

// digitsOf are the digits in s alone, full-width ones as ASCII.
func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '０' && r <= '９' {
			r -= '０' - '0'
		}
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// OneLine leaves out what would break or colour a line of a log.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	return strings.Join(strings.Fields(s), " ")
}

// blankAll blanks every place where secret stands, in any case.
func blankAll(text, secret string) string {
	if secret = OneLine(secret); secret == "" {
		return text
	}
	return regexp.MustCompile(`(?i)`+regexp.QuoteMeta(secret)).ReplaceAllLiteralString(text, unsaid)
}

// blankWord blanks word where it does not stand inside a longer one.
func blankWord(text, word string) string {
	if word == "" {
		return text
	}
	found := regexp.MustCompile(`(?i)`+regexp.QuoteMeta(word)).FindAllStringIndex(text, -1)
	var out strings.Builder
	from := 0
	for _, at := range found {
		before, _ := utf8.DecodeLastRuneInString(text[:at[0]])
		after, _ := utf8.DecodeRuneInString(text[at[1]:])
		if inWord(before) || inWord(after) {
			continue
		}
		out.WriteString(text[from:at[0]] + unsaid)
		from = at[1]
	}
	return out.String() + text[from:]
}

func inWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
