package smtp

import (
	"testing"
	"time"
)

// DoubtAfter has silence doubted sooner during a test.
func DoubtAfter(t *testing.T, d time.Duration) { set(t, &doubtAfter, d) }

// IdleFor has connections kept for another time during a test.
func IdleFor(t *testing.T, d time.Duration) { set(t, &idleFor, d) }

// ConnectTimeout has connecting last no longer than d during a test.
func ConnectTimeout(t *testing.T, d time.Duration) { set(t, &connectTimeout, d) }

func set(t *testing.T, to *time.Duration, d time.Duration) {
	before := *to
	*to = d
	t.Cleanup(func() { *to = before })
}
