// Package orgname is what organizations may be called. A name is written by whoever
// has an account, and read by strangers in mails of ours. It may be no more than a
// name: nothing that mail programs make a link of, that reads as an address, or that
// is not seen. Names of all scripts are names.
//
//	orgname.Valid(name)  // may an organization be called so? What says what is a name
//	orgname.Quoted(name) // in a mail, between our quotation marks
//
// It knows texts alone, and has no state.
package orgname
