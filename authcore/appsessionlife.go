package authcore

// bound shortens a session to what its app allows in all, counted from its
// beginning: whatever made it, or moved its end, and whenever the app's rule
// was written.
func (c *Core) bound(r *sessionRecord) *sessionRecord {
	s := c.current.Load()
	if r == nil || r.API == nil || s == nil {
		return r
	}
	app := s.cfg.Apps.Find(r.API.Realm.App)
	if app == nil || app.SessionLifetime <= 0 {
		return r
	}
	if last := r.AuthTime.Add(app.SessionLifetime); r.Expires.After(last) {
		r.Expires = last
	}
	return r
}
