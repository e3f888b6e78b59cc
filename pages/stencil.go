package pages

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
)

// stencil is a text that is made once for all, with gaps for what belongs to
// one visitor. It is rendered of a view that has marks where a visitor's data
// would be, so nothing of one visitor can get into another's text.
type stencil struct {
	pieces []string // one more than there are gaps
	gaps   []int    // which value fills each
}

// marks stand for the values with the same index. They are so random that no
// text has them by chance, have nothing to escape, and are shorter than what
// breakable breaks. The one at gapNumber is markNumber, for a number.
var marks, markNumber = makeMarks(gapNumber)

const gapNumber = 8 // the last

func makeMarks(texts int) ([]string, int) {
	var all []string
	for i := range texts {
		all = append(all, "m"+rand.Text()[:20]+strconv.Itoa(i))
	}
	var b [4]byte
	rand.Read(b[:])
	number := 1e9 + int(binary.LittleEndian.Uint32(b[:])%1e9)
	return append(all, strconv.Itoa(number)), number
}

// cut makes a stencil of a text that was rendered with marks.
func cut(text string) *stencil {
	s := &stencil{}
	for {
		before, value := text, -1
		for i, mark := range marks {
			if b, _, found := strings.Cut(text, mark); found && len(b) < len(before) {
				before, value = b, i
			}
		}
		s.pieces = append(s.pieces, before)
		if value < 0 {
			return s
		}
		s.gaps = append(s.gaps, value)
		text = text[len(before)+len(marks[value]):]
	}
}

// fill returns the text with values in the gaps. They have to be escaped.
func (s *stencil) fill(values []string) []byte {
	n := 0
	for _, piece := range s.pieces {
		n += len(piece)
	}
	for _, gap := range s.gaps {
		n += len(values[gap])
	}
	text := make([]byte, 0, n)
	for i, gap := range s.gaps {
		text = append(text, s.pieces[i]...)
		text = append(text, values[gap]...)
	}
	return append(text, s.pieces[len(s.gaps)]...)
}
