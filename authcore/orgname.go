package authcore

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

// maxOrgName bounds the name of an organization, in characters.
const maxOrgName = 64

// isOrgName tells whether name may stand in a mail to a stranger, whoever chose
// it: no more than a name, and nothing that mail programs make a link of.
func isOrgName(name string) bool {
	if strings.TrimSpace(name) == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxOrgName {
		return false
	}
	for _, r := range name {
		joins := r == 0x200c || r == 0x200d // in words of some scripts, and in emoji
		if unicode.Is(unicode.C, r) && !joins || unicode.In(r, unicode.Zl, unicode.Zp) {
			return false
		}
	}
	plain := strings.NewReplacer("\u3002", ".", "\u200c", "", "\u200d", "").Replace(norm.NFKC.String(name))
	if strings.Contains(plain, "://") || strings.Contains(plain, "@") {
		return false
	}
	words := strings.FieldsFunc(plain, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	for _, word := range words {
		if isWebAddress(strings.ToLower(strings.Trim(word, ".-"))) {
			return false
		}
	}
	return true
}

// isWebAddress: a host under a domain that there is, or numbers like those of
// IPv4.
func isWebAddress(word string) bool {
	labels := strings.Split(word, ".")
	if len(labels) < 2 || strings.Contains(word, "..") {
		return false
	}
	if labels[0] == "www" || len(labels) == 4 && strings.Trim(word, "0123456789.") == "" {
		return true
	}
	suffix, managed := publicsuffix.PublicSuffix(word)
	return suffix != word && (managed || strings.Contains(suffix, "."))
}
