package caddymodule

// knownAnyway tells, for a request that a gate with report_only would have
// refused, whether the app is told who asks: identity works as ever where only
// the client's address or the age of the sign-in stands against an admitted
// person.
func (v *visit) knownAnyway(why refusal) bool {
	switch why.kind {
	case clientRefused, tooEarly, loginRequired:
	default:
		return false
	}
	if v.webSocket && !v.fromOwnPage() {
		v.foreign = true
		return false
	}
	if !v.looked && v.find() != nil {
		return false
	}
	if v.session == nil || v.session.Machine != nil || !v.g.rule.Policy.Admits(v.session.Address) {
		return false
	}
	v.run.service.Opened(v.session, v.origin)
	return v.identify() == nil
}
