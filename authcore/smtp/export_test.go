package smtp

import (
	"testing"
	"time"
)

// DoubtAfter has silence doubted sooner during a test.
func DoubtAfter(t *testing.T, d time.Duration) {
	before := doubtAfter
	doubtAfter = d
	t.Cleanup(func() { doubtAfter = before })
}
