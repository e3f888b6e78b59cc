// Package option reads options: the lines of a block in a Caddyfile, by a table of
// what may be written ([Block]), each mistake with its place and what to write instead
// ([At]); and the placeholders {env.…} and {file.…} that a value may have
// ([ExpandText], [ExpandSecret]), which are put in when a configuration starts.
//
// It knows Caddy's reader and no option. It keeps nothing.
package option

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// located is a mistake with the place where it was made in front: what to write
// instead stands on lines of its own at the end of a message, ready to be
// copied, so that nothing may follow it.
type located struct {
	file string
	line int
	err  error
}

func (e *located) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }

func (e *located) Unwrap() error { return e.err }

// At says where err was made, unless it says so already.
func At(at caddyfile.Token, err error) error {
	var known *located
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &located{at.File, at.Line, err}
}

// Block is the lines of a block: what may be written, and what reads it. The
// reader finds the dispenser at the word.
type Block[T any] struct {
	Of    string // what the block belongs to, for messages
	Words []Word[T]
	Later []string // words of the documentation that this version does not know
	// Elsewhere are words of other blocks, with the reason why not here.
	Elsewhere map[string]string
}

// Word is one line of a block; Line, Text, List, OnOff and Span make them. try is
// a whole line that is right, and begins with the word.
type Word[T any] struct {
	name string
	read func(T, *caddyfile.Dispenser) error
}

// Line is read by a function of its own.
func Line[T any](name string, read func(T, *caddyfile.Dispenser) error) Word[T] {
	return Word[T]{name, read}
}

// Text has one argument, written once. check looks at what has it now.
func Text[T any](try string, of func(T) *string, check ...func(T) error) Word[T] {
	return Line(nameIn(try), func(into T, d *caddyfile.Dispenser) error {
		err := One(d, of(into), try)
		for _, c := range check {
			if err == nil {
				err = c(into)
			}
		}
		return err
	})
}

// List has arguments that add up over several lines. check looks at those of one.
func List[T any](try string, of func(T) *[]string, check ...func([]string) error) Word[T] {
	return Line(nameIn(try), func(into T, d *caddyfile.Dispenser) error {
		args, err := Arguments(d, 1, Many, try)
		*of(into) = append(*of(into), args...)
		for _, c := range check {
			if err == nil {
				err = c(args)
			}
		}
		return err
	})
}

// OnOff is on or off.
func OnOff[T any](name string, of func(T) **bool) Word[T] {
	return Line(name, func(into T, d *caddyfile.Dispenser) error { return Switch(d, of(into)) })
}

// Span is a time, written once.
func Span[T any](try string, of func(T) *caddy.Duration) Word[T] {
	name := nameIn(try)
	return Line(name, func(into T, d *caddyfile.Dispenser) (err error) {
		if err = Once(name, *of(into) != 0); err != nil {
			return err
		}
		var written string
		if err = One(d, &written, try); err == nil {
			*of(into), err = Duration(name, written)
		}
		return err
	})
}

func nameIn(try string) string {
	name, _, _ := strings.Cut(try, " ")
	return name
}

// Read reads a block line by line. A word that is not known is an error that
// names those that are.
func (b Block[T]) Read(d *caddyfile.Dispenser, into T) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at := d.Token()
		if err := b.ReadLine(d, into); err != nil {
			return At(at, err)
		}
	}
	return nil
}

// ReadLine reads the line that d stands at.
func (b Block[T]) ReadLine(d *caddyfile.Dispenser, into T) error {
	name := d.Val()
	for _, word := range b.Words {
		if word.name == name {
			return word.read(into, d)
		}
	}
	if slices.Contains(b.Later, name) {
		return fmt.Errorf("%s is not available in this version of Gatehouse: take the line out", name)
	}
	if why := b.Elsewhere[name]; why != "" {
		return fmt.Errorf("%s takes no %s: %s", b.Of, name, why)
	}
	if name == "{" {
		return fmt.Errorf("this line of %s takes no block", b.Of)
	}
	return fmt.Errorf("%s has no %q; there are %s", b.Of, name, b.names())
}

func (b Block[T]) names() string {
	var names []string
	for _, word := range b.Words {
		names = append(names, word.name)
	}
	return strings.Join(names, ", ")
}

// Arguments returns between least and most arguments of a line. try is a whole
// line that is right.
func Arguments(d *caddyfile.Dispenser, least, most int, try string) ([]string, error) {
	args := d.RemainingArgs()
	switch {
	case len(args) < least:
		return nil, Missing("something is missing on this line", try)
	case len(args) > most && isSecret(try):
		return nil, fmt.Errorf("there is more than one value on this line; write one that has spaces in quotes, or better\n    %s", try)
	case len(args) > most:
		return nil, fmt.Errorf("%q is too much on this line; write for example\n    %s", args[most], try)
	}
	return args, nil
}

// Missing says what has no value, and why that may be: Caddy puts nothing in for a
// variable that is not set, before anybody reads the line. try is a whole line that is
// right.
func Missing(what, try string) error {
	return fmt.Errorf("%s; an environment variable in {$…} that is not set is nothing; write for example\n    %s", what, try)
}

// isSecret tells whether an option, which try begins with, has a secret for
// its value: no error repeats a word of it.
func isSecret(try string) bool {
	return strings.HasPrefix(try, "store postgres ") || slices.Contains([]string{"password", "secret", "api_key", "publishable_key", "client_secret", "refresh_token", "auth_token", "mailgun_key"}, nameIn(try))
}

// Many is as many arguments as anybody may write.
const Many = 1 << 20

// Once refuses an option that is written twice: one of the two would be lost.
func Once(name string, written bool) error {
	if written {
		return fmt.Errorf("%s is written twice: keep one of the two", name)
	}
	return nil
}

// Switch reads a switch.
func Switch(d *caddyfile.Dispenser, to **bool) error {
	name := d.Val()
	if err := Once(name, *to != nil); err != nil {
		return err
	}
	args, err := Arguments(d, 1, 1, name+" on")
	if err != nil {
		return err
	}
	if args[0] != "on" && args[0] != "off" {
		return fmt.Errorf("%s %q: write on or off", name, args[0])
	}
	on := args[0] == "on"
	*to = &on
	return nil
}

// One reads a line with one argument into an option that is still empty.
func One(d *caddyfile.Dispenser, to *string, try string) error {
	name := d.Val()
	if err := Once(name, *to != ""); err != nil {
		return err
	}
	args, err := Arguments(d, 1, 1, try)
	if err != nil {
		return err
	}
	if args[0] == "" {
		return Missing(name+" is empty", try)
	}
	*to = args[0]
	return nil
}

// Duration reads a time above zero, such as 10m or 7d.
func Duration(option, text string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a duration; write a number and a unit, such as 30s, 10m, 24h or 7d", option, text)
	}
	return caddy.Duration(d), nil
}
