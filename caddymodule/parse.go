package caddymodule

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

// locate says where err was made, unless it says so already.
func locate(at caddyfile.Token, err error) error {
	var known *located
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &located{at.File, at.Line, err}
}

// words are the lines of a block: what may be written, and what reads it. The
// reader finds the dispenser at the word.
type words[T any] struct {
	block string // what the block belongs to, for messages
	known []word[T]
	later []string // words of the documentation that this version does not know
	// elsewhere are words of other blocks, with the reason why not here.
	elsewhere map[string]string
}

// word is one line of a block; line, text, list, toggle and span make them. try is
// a whole line that is right, and begins with the word.
type word[T any] struct {
	name string
	read func(T, *caddyfile.Dispenser) error
}

// line is read by a function of its own.
func line[T any](name string, read func(T, *caddyfile.Dispenser) error) word[T] {
	return word[T]{name, read}
}

// text has one argument, written once. check looks at what has it now.
func text[T any](try string, of func(T) *string, check ...func(T) error) word[T] {
	return line(nameIn(try), func(into T, d *caddyfile.Dispenser) error {
		err := oneOf(d, of(into), try)
		for _, c := range check {
			if err == nil {
				err = c(into)
			}
		}
		return err
	})
}

// list has arguments that add up over several lines. check looks at those of one.
func list[T any](try string, of func(T) *[]string, check ...func([]string) error) word[T] {
	return line(nameIn(try), func(into T, d *caddyfile.Dispenser) error {
		args, err := arguments(d, 1, many, try)
		*of(into) = append(*of(into), args...)
		for _, c := range check {
			if err == nil {
				err = c(args)
			}
		}
		return err
	})
}

// toggle is on or off.
func toggle[T any](name string, of func(T) **bool) word[T] {
	return line(name, func(into T, d *caddyfile.Dispenser) error { return onOff(d, of(into)) })
}

// span is a time, written once.
func span[T any](try string, of func(T) *caddy.Duration) word[T] {
	name := nameIn(try)
	return line(name, func(into T, d *caddyfile.Dispenser) (err error) {
		if err = once(name, *of(into) != 0); err != nil {
			return err
		}
		var written string
		if err = oneOf(d, &written, try); err == nil {
			*of(into), err = duration(name, written)
		}
		return err
	})
}

func nameIn(try string) string {
	name, _, _ := strings.Cut(try, " ")
	return name
}

// read reads a block line by line. A word that is not known is an error that
// names those that are.
func (w words[T]) read(d *caddyfile.Dispenser, into T) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at := d.Token()
		if err := w.readLine(d, into); err != nil {
			return locate(at, err)
		}
	}
	return nil
}

func (w words[T]) readLine(d *caddyfile.Dispenser, into T) error {
	name := d.Val()
	for _, word := range w.known {
		if word.name == name {
			return word.read(into, d)
		}
	}
	if slices.Contains(w.later, name) {
		return fmt.Errorf("%s is not available in this version of Gatehouse: take the line out", name)
	}
	if why := w.elsewhere[name]; why != "" {
		return fmt.Errorf("%s takes no %s: %s", w.block, name, why)
	}
	if name == "{" {
		return fmt.Errorf("this line of %s takes no block", w.block)
	}
	return fmt.Errorf("%s has no %q; there are %s", w.block, name, w.names())
}

func (w words[T]) names() string {
	var names []string
	for _, word := range w.known {
		names = append(names, word.name)
	}
	return strings.Join(names, ", ")
}

// arguments returns between least and most arguments of a line. try is a whole
// line that is right.
func arguments(d *caddyfile.Dispenser, least, most int, try string) ([]string, error) {
	args := d.RemainingArgs()
	switch {
	case len(args) < least:
		return nil, fmt.Errorf("something is missing on this line; write for example\n    %s", try)
	case len(args) > most && isSecretOption(try):
		return nil, fmt.Errorf("there is more than one value on this line; write one that has spaces in quotes, or better\n    %s", try)
	case len(args) > most:
		return nil, fmt.Errorf("%q is too much on this line; write for example\n    %s", args[most], try)
	}
	return args, nil
}

// isSecretOption tells whether an option, which try begins with, has a secret for
// its value: no error repeats a word of it.
func isSecretOption(try string) bool {
	return slices.Contains([]string{"password", "secret", "api_key", "publishable_key", "client_secret", "refresh_token", "auth_token", "mailgun_key"}, nameIn(try))
}

// many is as many arguments as anybody may write.
const many = 1 << 20

// once refuses an option that is written twice: one of the two would be lost.
func once(name string, written bool) error {
	if written {
		return fmt.Errorf("%s is written twice: keep one of the two", name)
	}
	return nil
}

// onOff reads a switch.
func onOff(d *caddyfile.Dispenser, to **bool) error {
	name := d.Val()
	if err := once(name, *to != nil); err != nil {
		return err
	}
	args, err := arguments(d, 1, 1, name+" on")
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

// oneOf reads a line with one argument into an option that is still empty.
func oneOf(d *caddyfile.Dispenser, to *string, try string) error {
	name := d.Val()
	if err := once(name, *to != ""); err != nil {
		return err
	}
	args, err := arguments(d, 1, 1, try)
	if err != nil {
		return err
	}
	if args[0] == "" {
		return fmt.Errorf("%s is empty; write for example\n    %s", name, try)
	}
	*to = args[0]
	return nil
}

// duration reads a time above zero, such as 10m or 7d.
func duration(option, text string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a duration; write a number and a unit, such as 30s, 10m, 24h or 7d", option, text)
	}
	return caddy.Duration(d), nil
}
