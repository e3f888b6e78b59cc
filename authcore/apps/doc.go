// Package apps is what clients of the JSON APIs know and do: their people, the codes and links that they ask for, and what a proof comes
// to. Core is what outlives a configuration, View what one says of it.
//
//	core := apps.New(config)
//	view := core.Use(setup)
//	app := view.Configured().Caller(key)     // who calls
//	asked, err := view.Ask(ctx, ask)          // a code or link for somebody
//	proved, err := view.Prove(ctx, proof)     // and what it comes to
//	shown, err := view.Show(ctx, slot, token, press) // a code that no mail may bear any more
//	session, err := view.Session(ctx, realm, token)
//	invite, asked, err := view.SendInvite(ctx, ask, org, by, role) // see package organization
//	core.Delete(ctx, deletion)                // one way to delete a person
//
// It knows no wire format: a dialect translates. It makes no code (challenge
// does), and does not decide whether a session is over (session does).
//
// State of the process: when each key was used last, written now and then.
package apps
