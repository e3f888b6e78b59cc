// Package grant is what apps hold of a person who has signed in: codes, access
// tokens, grants of refresh tokens, and what the person has agreed to.
//
//	grants := grant.New(config)
//	release := grants.Use(means)                   // a configuration's clients
//	code, err := grants.Code(ctx, ask)             // at the authorization endpoint
//	issued, err := grants.Redeem(ctx, redemption)  // a grant begins
//	issued, err = grants.Refresh(ctx, issuer, client, token, scope)
//	access, err := grants.Read(ctx, issuer, token, refresh) // what a token stands for
//	err = grants.Revoke(ctx, client, token)
//	grants.Changed(subject)                        // a session of theirs may have ended
//	grants.Run(ctx)                                // tells clients of sessions that have ended
//
// A grant is one sign-in of a person at a client. It hangs on the session that
// it came from, or on the one in its place: whether that is over is package
// session's one rule, asked at every use, so that everything dies with it. The
// grant's record stays until its client was told (notice.go).
//
// It knows no HTTP, no JOSE and no page, and not how a person signs in.
//
// State of the process: the means of the configuration in use, whose notices
// wait to be looked at, and the notices under way. The rest is in the store.
package grant
