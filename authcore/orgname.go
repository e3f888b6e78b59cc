package authcore

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// An organization's name is written by whoever has an account, and read by
// strangers in mails of ours. It may be no more than a name: nothing that mail
// programs make a link of, that reads as an address, or that is not seen.

// maxOrgName bounds the name of an organization, in characters.
const maxOrgName = 64

// WhatOrgName says what a name has to be.
const WhatOrgName = "has 1 to 64 visible characters and nothing like an address: no dot or colon between words without a space, no //, at sign or telephone number"

var (
	// judged as mail programs and people read it: any dot before a word, for the
	// last label is not looked up: there are new ones every month, and a person
	// takes any for one.
	likeHost = regexp.MustCompile(`\.[\pL][-\pL\pN]*\pL|\bxn--|\d+\.\d+\.\d+\.\d+`)
	likeLink = regexp.MustCompile(`[\pL][-+.\pL\pN]*:\S|//|\\|@`)
	likeCall = regexp.MustCompile(`(\pN[-+ ./()]*){7}`)
	spelled  = regexp.MustCompile(`(?i)\s*[\[({<]\s*(dot|\.)\s*[\])}>]\s*`)
)

// dots are read as one, besides those that NFKC makes one of.
var dots = strings.NewReplacer("\u3002", ".", "\u0589", ".", "\u06d4", ".", "\u0701", ".", "\u0702", ".", "\ua4f8", ".", "\u2e3c", ".", "\ua789", ":", "\u2236", ":", "\u2215", "/", "\u2044", "/", "\u29f8", "/")

// isOrgName tells whether name may be an organization's.
func isOrgName(name string) bool {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxOrgName || !isSeen(name) {
		return false
	}
	plain := dots.Replace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) || isIgnorable(r) {
			return -1
		}
		return r
	}, norm.NFKC.String(name)))
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
