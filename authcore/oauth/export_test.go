package oauth

import "time"

// Advance moves the clock of a source.
func Advance(s *Source, by time.Duration) {
	now := s.now
	s.now = func() time.Time { return now().Add(by) }
}
