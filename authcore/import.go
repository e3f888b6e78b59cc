package authcore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Imported is how much an import has changed.
type Imported struct {
	People    int `json:"people"` // added
	Sessions  int `json:"sessions"`
	Keys      int `json:"keys"`
	Unchanged int `json:"unchanged"` // lines that said nothing new
}

// Import takes over what Export wrote, or lines made by hand: then neither head
// nor end is needed. All lines are checked before the first is applied; a line
// that can't be taken over is an *ImportError, and nothing is changed. Lines
// that are known already change nothing, so an import that was interrupted is
// simply done again. A session that was ended on either side stays ended.
func (c *Core) Import(ctx context.Context, r io.ReadSeeker) (Imported, error) {
	check := &importer{core: c, people: map[string]Address{}, addresses: map[Address]string{}}
	if err := check.read(ctx, r, check.check); err != nil {
		return Imported{}, err
	}
	if err := check.complete(); err != nil {
		return Imported{}, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Imported{}, fmt.Errorf("reading the import again: %w", err)
	}
	apply := &importer{core: c}
	if err := apply.read(ctx, r, apply.apply); err != nil {
		return apply.done, err
	}
	if apply.done.Keys > 0 {
		if err := errors.Join(c.keys.reload(ctx), c.rsaKeys.reload(ctx)); err != nil {
			return apply.done, err
		}
	}
	return apply.done, c.count(ctx, 0)
}

// importer is one pass over the lines.
type importer struct {
	core      *Core
	people    map[string]Address // of the file, by subject
	addresses map[Address]string
	headAt    int // line of the head, 0 for none
	endAt     int
	last      int
	done      Imported
}

// importLine is one line, decoded. One of the pointers is set.
type importLine struct {
	number  int
	person  *exportPerson
	session *sessionRecord
	key     *keyRecord
}

func refuseLine(n int, format string, args ...any) error {
	return &ImportError{Line: n, Problem: fmt.Sprintf(format, args...)}
}

// importBatch is how many lines are handled in one transaction.
const importBatch = 200

func (im *importer) read(ctx context.Context, r io.Reader, handle func(context.Context, []importLine) error) error {
	lines := bufio.NewReaderSize(r, MaxValueLen)
	var batch []importLine
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return refuseLine(n, "it is longer than %d bytes", MaxValueLen)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading the import: %w", err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			line := importLine{number: n}
			holds, err := im.parse(&line, text)
			if err != nil {
				return err
			}
			if holds {
				batch = append(batch, line)
			}
			im.last = n
		}
		if len(batch) >= importBatch || err == io.EOF {
			if err := handle(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
		if err == io.EOF {
			return nil
		}
	}
}

// parse decodes a line; holds is false for head and end, which hold no record.
func (im *importer) parse(line *importLine, text []byte) (holds bool, err error) {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &kind) != nil {
		return false, refuseLine(line.number, "it is not a JSON object; the file may have been cut off here")
	}
	if im.endAt > 0 {
		return false, refuseLine(line.number, "it comes after the end that line %d marks", im.endAt)
	}
	switch kind.Type {
	case linePerson:
		line.person = &exportPerson{}
		err = strict(line, text, line.person)
	case lineSession:
		s := &exportSession{}
		err = strict(line, text, s)
		line.session = &s.sessionRecord
	case lineKey:
		k := &exportKey{}
		err = strict(line, text, k)
		line.key = &k.keyRecord
	case lineHead:
		return false, im.head(line, text)
	case lineEnd:
		im.endAt = line.number
		return false, nil
	default:
		return false, refuseLine(line.number, "its type %.20q is unknown; there are person, session and key", kind.Type)
	}
	return true, err
}

func strict(line *importLine, text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuseLine(line.number, "%s", jsonProblem(err))
	}
	return nil
}

// jsonProblem is what is wrong with a line, without what stands in it.
func jsonProblem(err error) string {
	if typed := new(json.UnmarshalTypeError); errors.As(err, &typed) {
		return fmt.Sprintf("the field %q is not a %s", typed.Field, typed.Type)
	}
	if address := new(AddressError); errors.As(err, &address) {
		return "the field \"email\": " + address.Problem
	}
	if timed := new(time.ParseError); errors.As(err, &timed) {
		return "a time is not written as in 2026-01-31T12:00:00Z"
	}
	return err.Error()
}

func (im *importer) head(line *importLine, text []byte) error {
	var head exportHead
	if err := strict(line, text, &head); err != nil {
		return err
	}
	if head.Format != format {
		return refuseLine(line.number, "the export has format %d, this version of Gatehouse reads format %d", head.Format, format)
	}
	im.headAt = line.number
	return nil
}

// complete tells whether an export is whole.
func (im *importer) complete() error {
	if im.headAt > 0 && im.endAt == 0 {
		return refuseLine(im.last, "this is the last line, but not the end of an export: the file was cut off; export again")
	}
	return nil
}

// reload reads the keys of the ring anew.
func (k *keyring) reload(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read(ctx)
}
