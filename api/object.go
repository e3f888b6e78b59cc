package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// Object is a JSON object or a form, read strictly: no name twice, in any case
// of letters, and nothing after it. Names are case-sensitive. null counts as
// absent. The first field that is not what it should be is remembered; ask Err
// once all fields are read.
type Object struct {
	fields map[string]json.RawMessage
	err    *Refusal
}

// maxDepth bounds the nesting of what is read.
const maxDepth = 32

// parseObject reads one JSON object. The error is a *Refusal.
func parseObject(data []byte) (*Object, error) {
	if !utf8.Valid(data) {
		return nil, errJSON
	}
	if refusal := checkJSON(data); refusal != nil {
		return nil, refusal
	}
	o := &Object{}
	if err := json.Unmarshal(data, &o.fields); err != nil || o.fields == nil {
		return nil, errJSON
	}
	folded := map[string]bool{}
	for name, value := range o.fields {
		if fold := strings.ToLower(name); folded[fold] {
			return nil, errTwice // {"email": …, "EMAIL": …}: some parsers take the one, some the other
		} else {
			folded[fold] = true
		}
		if string(value) == "null" {
			delete(o.fields, name)
		}
	}
	return o, nil
}

// checkJSON finds what encoding/json forgives: names that stand twice and text
// after the value; and bounds the depth.
func checkJSON(data []byte) *Refusal {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if refusal := checkValue(dec, 0); refusal != nil {
		return refusal
	}
	if _, err := dec.Token(); err != io.EOF {
		return errJSON
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) *Refusal {
	if depth > maxDepth {
		return errDeep
	}
	token, err := dec.Token()
	if err != nil {
		return errJSON
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			name, err := dec.Token()
			if err != nil {
				return errJSON
			}
			if seen[name.(string)] {
				return errTwice
			}
			seen[name.(string)] = true
		}
		if refusal := checkValue(dec, depth+1); refusal != nil {
			return refusal
		}
	}
	if _, err := dec.Token(); err != nil {
		return errJSON
	}
	return nil
}

// Err returns the first problem that a field had, or nil.
func (o *Object) Err() error {
	if o.err == nil {
		return nil
	}
	return o.err
}

func (o *Object) fail(r *Refusal) {
	if o.err == nil {
		o.err = r
	}
}

// Has tells whether a field is there and not null.
func (o *Object) Has(name string) bool { return o.fields[name] != nil }

// Raw returns a field as it was sent, nil if absent.
func (o *Object) Raw(name string) json.RawMessage { return o.fields[name] }

// String returns a field that must be text if it is there; "" if absent.
func (o *Object) String(name string) string {
	var s string
	o.read(name, &s, "a string")
	return s
}

// Need is String for a field that must be there and not be empty.
func (o *Object) Need(name string) string {
	s := o.String(name)
	if s == "" {
		o.fail(Missing(name))
	}
	return s
}

// Email reads the field email, which must be there.
func (o *Object) Email() (address.Address, error) {
	text := o.Need("email")
	if err := o.Err(); err != nil {
		return address.Address{}, err
	}
	return Email(text, CodeMalformed)
}

// Email reads an address; code is the dialect's word for one that is none.
func Email(text, code string) (address.Address, error) {
	a, err := address.Parse(text)
	if problem := new(address.Error); errors.As(err, &problem) {
		return a, Refuse(http.StatusBadRequest, code, "email: "+problem.Problem+".")
	}
	return a, err
}

// Bool returns a field that must be true or false if it is there.
func (o *Object) Bool(name string) bool {
	var b bool
	o.read(name, &b, "true or false")
	return b
}

// Int returns a field that must be a whole number from low to high if it is
// there; def if absent.
func (o *Object) Int(name string, def, low, high int64) int64 {
	f := o.Number(name, float64(def))
	if f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		o.fail(Malformed(name, rangeText(low, high)))
		return def
	}
	return int64(f)
}

// Number returns a field that must be a number if it is there; def if absent.
func (o *Object) Number(name string, def float64) float64 {
	if !o.Has(name) {
		return def
	}
	var f float64
	o.read(name, &f, "a number")
	return f
}

// Object returns a field that must be an object if it is there; an empty one if
// absent. Its problems are those of o.
func (o *Object) Object(name string) *Object {
	inner := &Object{}
	o.read(name, &inner.fields, "an object")
	for field, value := range inner.fields {
		if string(value) == "null" {
			delete(inner.fields, field)
		}
	}
	return inner
}

// Objects returns a field that must be an array of objects if it is there.
func (o *Object) Objects(name string) []*Object {
	var raw []map[string]json.RawMessage
	o.read(name, &raw, "an array of objects")
	var out []*Object
	for _, fields := range raw {
		out = append(out, &Object{fields: fields})
	}
	return out
}

// Strings returns a field that must be an array of text if it is there.
func (o *Object) Strings(name string) []string {
	var out []string
	o.read(name, &out, "an array of strings")
	return out
}

func (o *Object) read(name string, to any, want string) {
	if value := o.fields[name]; value != nil && json.Unmarshal(value, to) != nil {
		o.fail(Malformed(name, want))
	}
}

func rangeText(low, high int64) string {
	number := func(n int64) string { return string(must(json.Marshal(n))) }
	return "a whole number from " + number(low) + " to " + number(high)
}

func must(b []byte, _ error) []byte { return b }
