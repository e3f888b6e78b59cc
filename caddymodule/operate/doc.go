// Package operate is what operators ask and tell a running Gatehouse, in plain
// calls: whoever answers them (Caddy's admin endpoint today, a page tomorrow)
// only translates.
//
// An Instance is one running configuration; New makes it when that starts.
//
//	Status, Health          how it is, for operators and for monitors
//	Sessions, Users, Apps   who is known, page by page; SessionsOf and User for one person
//	Why                     whether somebody gets in, and what became of their codes
//	Examine                 the doctor: what is wrong, or will be, and what to do
//	MailTo, ExamineReceived one mail, and what receivers see of it
//	TestMail                one mail through every sender
//	Snippet                 the configuration of another proxy that asks here
//	Unlock                  mail to an address flows again
//	Admit                   a code by word of mouth, while mail is down
//	EndSession, EndSessionsOf, DeleteUser, RotateKeys, Export, Import
//
// What changes something takes the address it is asked from, and is audited. A
// Refusal is a no, with what to do instead; any other error is an outage.
//
// Rules are asked of authcore (who is admitted: SiteRule.Explain) and are not
// written here again. What only the server in front knows, such as its routes,
// comes as findings of Config.Routes, Portals and Proxies. The package knows no
// HTTP and no Caddy.
//
// Nothing here outlives a call. Of what it tells, the state of senders, the open
// streams and the last use of an app's key are this process's own.
package operate
