package authcore

// A link that somebody waits for signs in who waits, not who opens it: a
// stranger can start a sign-in for anybody and wait for the click. Two digits
// bind the two ends: they are shown where the sign-in began, and typed where
// the link is opened.

const (
	pairDigits = 2
	pairTries  = 3
)

// pairOf derives the digits of a challenge.
func (s Secret) pairOf(challenge string) string {
	return derive(s.code, "api pair", challenge, base62[:10], pairDigits)
}

// pair compares the digits of a link that has any, and counts a wrong answer.
// Without two digits it is Malformed, and no try.
func (t *proving) pair() (Verdict, error) {
	if !t.c.API.Paired {
		return Accepted, nil
	}
	digits, _, ok := ParseCode(t.in.Pair, pairDigits)
	if !ok {
		return Malformed, nil
	}
	if secret, known := t.s.core.secrets.find(t.c.Secret); known && sameCode(digits, secret.pairOf(t.c.ID)) {
		return Accepted, nil
	}
	v, step := Wrong, Step{At: t.now, Outcome: OutcomeWrongCode}
	if t.c.API.PairTries--; t.c.API.PairTries <= 0 {
		t.c.Locked, v, step.Outcome = true, Locked, OutcomeLocked
	}
	if err := t.s.core.note(t.tx, t.c, step); err != nil {
		return Unknown, err
	}
	return v, t.c.save(t.tx)
}
