#!/bin/sh
# Signs somebody in through the reflex calls of gatehouse_api:
#
#   BASE=https://api.example.com KEY=sk_live_… EMAIL=you@example.com ./reflex.sh
#
# The mail's link is asked for on the terminal; opened in a browser, it signs
# that browser in instead.
set -eu
: "${BASE:?the origin of gatehouse_api}" "${KEY:?a secret key of the app}" "${EMAIL:?your address}"

# request is curl, which says on a failure what the server answered.
request() {
	answer=$(curl --silent --show-error --fail-with-body "$@") || {
		status=$?
		printf '%s\n' "$answer" >&2
		exit $status
	}
	printf '%s\n' "$answer"
}
call() { # method path [body] [token] [key beside it]
	request --request "$1" "$BASE$2" \
		${4+--header "Authorization: Bearer $4"} ${5+--header "X-API-Key: $5"} \
		${3:+--header "Content-Type: application/json" --data "$3"}
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo "1. make a one-time password, and have its link mailed"
call POST /reflex/otp "{\"email\":\"$EMAIL\",\"redir\":\"/welcome\",\"deliver\":\"email\"}" "$KEY"

printf '2. paste the link of the mail: ' >&2
read -r link
otp=$(echo "$link" | sed 's/.*[?&]otp=\([0-9a-f]*\).*/\1/')

echo "3. turn the password into a session"
valid=$(call POST /reflex/validate "{\"email\":\"$EMAIL\",\"otp\":\"$otp\"}" "$KEY")
echo "$valid"
session=$(echo "$valid" | field session_token)

echo "4. ask whose session it is"
call GET /reflex/session "" "$session" "$KEY"

echo "5. the stable id of an address"
request --get "$BASE/reflex/persistent-id" --data-urlencode "email=$EMAIL"

echo "6. end the session, and ask again"
call POST /reflex/logout "" "$session"
call GET /reflex/session "" "$session" "$KEY"
