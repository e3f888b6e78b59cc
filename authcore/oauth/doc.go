// Package oauth gets the access tokens with which mail is sent at providers that
// take no password: client credentials, refresh tokens, and the signed requests
// of Google's service accounts.
//
// A Source holds one token at a time, renews it before it ends, and once more
// when it is refused. A refresh token that the provider replaces is kept by a
// Keeper, since the one in the configuration may be dead then. What a provider
// answers stands in errors, without any secret.
//
// State of the process: the access token of each Source, and when it ends.
package oauth
