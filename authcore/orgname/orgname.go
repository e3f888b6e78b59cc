package orgname

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxLen bounds the name of an organization, in characters.
const maxLen = 64

// What says what a name has to be.
const What = "has 1 to 64 visible characters and nothing like an address: no dot or colon between words without a space, no //, at sign or telephone number"

var (
	// judged as mail programs and people read it: any dot before a word, for the
	// last label is not looked up: there are new ones every month, and a person
	// takes any for one.
	likeHost = regexp.MustCompile(`\.[\pL][-\pL\pN]*\pL|\bxn--|\d+\.\d+\.\d+\.\d+`)
	likeLink = regexp.MustCompile(`[\pL][-+.\pL\pN]*:\S|//|\\|@`)
	likeCall = regexp.MustCompile(`(\pN[-+ ./_\p{Pd}\p{Ps}\p{Pe}]*){7}`)
	spelled  = regexp.MustCompile(`(?i)\s*[<*|~_\-\p{Ps}\p{Pi}"'\x60]+\s*(d[o0\x{3bf}\x{43e}]t|\.)\s*[>*|~_\-\p{Pe}\p{Pf}"'\x60]+\s*`)
)

// signs are read as those that mail programs know, besides those that NFKC makes
// one of.
var signs = strings.NewReplacer("\ua789", ":", "\u2236", ":", "\u2215", "/", "\u2044", "/", "\u29f8", "/")

// commas of other scripts, which NFKC would make ours, may be read as dots.
var commas = strings.NewReplacer("\uff0c", "\u3001", "\ufe50", "\u3001", "\ufe10", "\u3001")

// roundSigns are no punctuation, and between letters read as dots.
var roundSigns = &unicode.RangeTable{
	R16: []unicode.Range16{{0xb0, 0xb0, 1}, {0x2d9, 0x2da, 1}, {0x2218, 0x2218, 1}, {0x23fa, 0x23fa, 1}, {0x25a0, 0x25ff, 1}, {0x26aa, 0x26ab, 1}, {0x2981, 0x2981, 1}, {0x29bf, 0x29bf, 1}, {0x2b1b, 0x2b1c, 1}, {0x2b24, 0x2b24, 1}, {0x2b50, 0x2b58, 1}},
	R32: []unicode.Range32{{0x1f534, 0x1f535, 1}, {0x1f7e0, 0x1f7eb, 1}}, LatinOffset: 1,
}

// withDots is a name in which all that looks like a dot is one: what ends a
// sentence in any script, and between letters as domains have them whatever stands
// there in place of a dot. In words of other scripts such signs are at home, and
// so is the dot of Catalan.
func withDots(name string) string {
	list := []rune(name)
	at := func(i int) rune {
		if i < 0 || i >= len(list) {
			return ' '
		}
		return list[i]
	}
	var b strings.Builder
	for i, r := range list {
		before, after := at(i-1), at(i+1)
		switch {
		case unicode.Is(unicode.STerm, r) && !strings.ContainsRune("!?\u061f\u203d\u2e2e", r), strings.ContainsRune("\u0701\u0702\ua4f8\ua4fa\U00010a50", r):
			r = '.'
		case r == 0x660 || r == 0x6f0: // a zero, which between letters is none
			if unicode.IsLetter(before) && unicode.IsLetter(after) {
				r = '.'
			}
		case r == 0xb7 && strings.ContainsRune("lL", before) && strings.ContainsRune("lL", after):
		case r > unicode.MaxASCII && (unicode.Is(unicode.Po, r) && !strings.ContainsRune(apostrophes, r) || strings.ContainsRune("\u119e\u1427\u2219\u22c5\ua78f", r) || unicode.Is(roundSigns, r)):
			if (inDomains(before) || unicode.IsDigit(before)) && inDomains(after) {
				r = '.'
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

func inDomains(r rune) bool { return unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic) }

// apostrophes stand inside of words.
const apostrophes = "'\u2019\u055a\u05f3\u05f4\uff07" // the fourth is of Hebrew abbreviations

// letterMarks look like apostrophes and are letters of some languages.
const letterMarks = "\u02bb\u02bc\u02bd\u02be\u02bf"

// quoteLike are the characters that can be taken for a quotation mark, besides
// those that Unicode has as such.
const quoteLike = apostrophes + letterMarks + "`\u00b4\u02b9\u02ba\u02c8\u02ca\u02cb\u02dd\u02ee\u055b\u1fbd\u1fbf\u1fef\u1ffd\u1ffe\u2032\u2033\u2034\u2035\u2036\u2037\u2057\u275b\u275c\u275d\u275e\u275f\u2760\u3003\u3008\u3009\u300a\u300b\ua78c\U0001f676\U0001f677\U0001f678"

func isQuote(r rune) bool {
	return unicode.In(r, unicode.Quotation_Mark, unicode.Pi, unicode.Pf) || strings.ContainsRune(quoteLike, r)
}

// Quoted is name as it stands in the quotes of a mail, of which it ends none:
// without quotation marks but those inside of words.
func Quoted(name string) string {
	list := []rune(name)
	isWord := func(i int) bool {
		return i >= 0 && i < len(list) && !isQuote(list[i]) && unicode.In(list[i], unicode.L, unicode.M, unicode.N)
	}
	mayStand := func(i int) bool { return i < 0 || i >= len(list) || !isQuote(list[i]) }
	var b strings.Builder
	for i, r := range list {
		inside := isWord(i-1) && isWord(i+1) && strings.ContainsRune(apostrophes, r)
		beside := (isWord(i-1) || isWord(i+1)) && mayStand(i-1) && mayStand(i+1) && strings.ContainsRune(letterMarks, r)
		if !isQuote(r) || inside || beside {
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Valid tells whether name may be an organization's: as it is written, as a mail
// has it, and as people read it who pass over quotation marks and brackets.
func Valid(name string) bool {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxLen {
		return false
	}
	quoted, bare := Quoted(name), strings.Map(withoutBrackets, name)
	return isSeen(name) && isSeen(quoted) && isPlain(name) && isPlain(quoted) && isPlain(bare)
}

func withoutBrackets(r rune) rune {
	if isQuote(r) || unicode.In(r, unicode.Ps, unicode.Pe) {
		return -1
	}
	return r
}

// isPlain tells whether text holds nothing like an address.
func isPlain(text string) bool {
	plain := withDots(signs.Replace(strings.Map(func(r rune) rune {
		switch {
		case r == 0x1d16d: // a dot of musical notes is a mark
			return '.'
		case unicode.Is(unicode.M, r) || isIgnorable(r):
			return -1
		}
		return r
	}, norm.NFKC.String(commas.Replace(text)))))
	plain = spelled.ReplaceAllString(plain, ".")
	return !likeHost.MatchString(plain) && !likeLink.MatchString(plain) && !likeCall.MatchString(plain)
}

// isSeen tells whether every character is one that is seen where it stands, and
// one is more than a mark or a sign.
func isSeen(name string) bool {
	seen, before, marks := false, ' ', 0
	for _, r := range norm.NFD.String(name) {
		switch {
		case r == 0x200c || r == 0x200d || r == 0xfe0e || r == 0xfe0f: // in words of some scripts, and in emoji
			if before < 0x80 || isIgnorable(before) && (before != 0xfe0f || r != 0x200d) {
				return false
			}
		case isIgnorable(r) || r == 0x2800 || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs):
			return false
		case unicode.Is(unicode.M, r):
			if marks++; marks > 4 || unicode.IsSpace(before) {
				return false
			}
		default:
			marks = 0
			seen = seen || unicode.In(r, unicode.L, unicode.N, unicode.So)
		}
		before = r
	}
	return seen
}

// isIgnorable tells the characters that are shown as nothing.
func isIgnorable(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}
