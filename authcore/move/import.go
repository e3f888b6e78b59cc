package move

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Imported is how much an import has changed: what was added, and what is newer
// than it was here.
type Imported struct {
	Exported
	Unchanged int `json:"unchanged"` // lines that said nothing new, or of what was deleted here
}

func (i Imported) lines() int {
	return i.People + i.Sessions + i.AppPeople + i.AppSessions + i.Organizations + i.Memberships + i.Invites + i.Consents + i.Pairwise + i.Keys + i.Unchanged
}

// Import takes over what Export wrote, or lines made by hand: then neither head
// nor end is needed, and the lines may be in any order. All lines are checked
// before the first is applied; a line that can't be taken over is an
// *LineError, and nothing is changed. Lines that are known already change
// nothing, so an import that was interrupted is simply done again. A session
// that was ended on either side stays ended, and what was deleted here stays so.
func (m *Mover) Import(ctx context.Context, r io.ReadSeeker) (Imported, error) {
	check := &importer{Mover: m, seen: newImportSeen()}
	if err := check.read(ctx, r, check.check); err != nil {
		return Imported{}, err
	}
	if err := check.complete(); err != nil {
		return Imported{}, err
	}
	apply := &importer{Mover: m, skip: isMember}
	if err := apply.again(ctx, r); err != nil {
		return apply.done, err
	}
	if check.members { // they change the organizations, which are all there now
		apply.skip = func(kind string) bool { return !isMember(kind) }
		if err := apply.again(ctx, r); err != nil {
			return apply.done, err
		}
	}
	if apply.done.Keys > 0 {
		if err := m.Keys.Reload(ctx); err != nil {
			return apply.done, err
		}
	}
	return apply.done, m.Recount(ctx)
}

func isMember(kind string) bool { return kind == lineMember }

// again applies the lines, read from the beginning.
func (im *importer) again(ctx context.Context, r io.ReadSeeker) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the import again: %w", err)
	}
	im.endAt = 0
	return im.read(ctx, r, im.apply)
}

// importer is one pass over the lines, or more that apply them.
type importer struct {
	*Mover
	seen    *importSeen            // by a pass that checks
	members bool                   // there are lines of members
	skip    func(kind string) bool // lines that are for another pass
	headAt  int                    // line of the head, 0 for none
	endAt   int
	last    int
	done    Imported
}

// importRecord is what one line holds.
type importRecord interface {
	// gone tells whether what the record holds or belongs to was deleted here.
	gone(tx store.Tx) (bool, error)
	// check judges the record, line n, without changing anything.
	check(im *importer, tx store.Tx, n int) error
	// apply writes the record and counts it. What may have changed since the
	// check is an *LineError.
	apply(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error)
}

func newImportRecord(kind string) importRecord {
	switch kind {
	case linePerson:
		return &exportPerson{}
	case lineSession, lineAppSession:
		return &exportSession{}
	case lineAppPerson:
		return &exportAppPerson{}
	case lineOrg:
		return &exportOrg{}
	case lineMember:
		return &exportMember{}
	case lineInvite:
		return &exportInvite{}
	case lineConsent:
		return &exportConsent{}
	case linePairwise:
		return &exportPairwise{}
	case lineKey:
		return &exportKey{}
	}
	return nil
}

// importLine is one line, decoded.
type importLine struct {
	number int
	record importRecord
}

func refuseLine(n int, format string, args ...any) error {
	return &LineError{Line: n, Problem: fmt.Sprintf(format, args...)}
}

const (
	// importBatch is how many lines are handled in one transaction.
	importBatch = 200

	// maxImportLine bounds a line: the largest record, and what a line says
	// beside it.
	maxImportLine = store.MaxValueLen + 512
)

func (im *importer) read(ctx context.Context, r io.Reader, handle func(context.Context, []importLine) error) error {
	lines := bufio.NewReaderSize(r, maxImportLine)
	var batch []importLine
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return refuseLine(n, "it is longer than %d bytes", maxImportLine)
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
	switch {
	case kind.Type == lineHead:
		return false, im.head(line, text)
	case kind.Type == lineEnd:
		im.endAt = line.number
		return false, nil
	case im.skip != nil && im.skip(kind.Type):
		return false, nil
	}
	if line.record = newImportRecord(kind.Type); line.record == nil {
		return false, refuseLine(line.number, "its type %.20q is unknown; there are person, session, app_person, app_session, organization, membership, invite, consent, pairwise and key", kind.Type)
	}
	im.members = im.members || isMember(kind.Type)
	return true, strict(line, text, line.record)
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
	if address := new(address.Error); errors.As(err, &address) {
		return "the field \"email\": " + address.Problem
	}
	if errors.Is(err, person.ErrRealm) {
		return "realm is not an app's id with /live or /test after it"
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
	if head.Format != im.Format {
		return refuseLine(line.number, "the export has format %d, this version of Gatehouse reads format %d", head.Format, im.Format)
	}
	im.headAt = line.number
	return nil
}

// complete tells whether an export is whole, and all that its lines name is
// there.
func (im *importer) complete() error {
	if im.headAt > 0 && im.endAt == 0 {
		return refuseLine(im.last, "this is the last line, but not the end of an export: the file was cut off; export again")
	}
	return im.seen.missing()
}
