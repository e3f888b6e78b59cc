// Package organization is how people of an app stand together: organizations, who is
// in them in which role, and invitations.
//
//	all := organization.New(store, now, observe)
//	org, v, err := all.Create(ctx, wish)
//	m, v, err := all.SetRole(ctx, change)           // add, change, end a membership
//	i, v, err := all.Invite(ctx, realm, org, by, email, role)
//	m, v, err := all.Accept(ctx, realm, i.ID, sub)  // by whoever has proved the address
//	leaving, err := LoadLeaving(tx, realm, sub)     // somebody is deleted
//
// An organization keeps an owner, and goes with its only member. An invitation is
// good as long as who made it has the right to, and its address belongs to nobody
// else.
//
// It sends no mail and makes no link (package apps does), and takes the app's word for
// who asks.
//
// State of the process: none.
package organization
