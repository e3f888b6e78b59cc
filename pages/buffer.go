package pages

import (
	"bytes"
	"sync"
)

// buffers are for texts that are done with once they are sent.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func borrowBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

// giveBack takes a buffer whose content nobody looks at any more.
func giveBack(b *bytes.Buffer) {
	if b.Cap() > maxKeptBuffer {
		return
	}
	b.Reset()
	buffers.Put(b)
}

const maxKeptBuffer = 64 << 10 // bytes; a page has a tenth of that
