#!/bin/sh
# Signs somebody in through the Link calls of gatehouse_api, by a code:
#
#   BASE=https://api.example.com PUB=pk_live_… KEY=sk_live_… EMAIL=you@example.com ./link.sh
#
# The code of the mail (or of the text message) is asked for on the terminal.
# KEY is needed only for an address that nobody has signed in with yet.
set -eu
: "${BASE:?the origin of gatehouse_api}" "${PUB:?a publishable key of the app}" "${EMAIL:?your address}"

# request is curl, which says on a failure what the server answered.
request() {
	answer=$(curl --silent --show-error --fail-with-body "$@") || {
		status=$?
		printf '%s\n' "$answer" >&2
		exit $status
	}
	printf '%s\n' "$answer"
}
post() { # path body [key]
	request --header "Content-Type: application/json" ${3+--header "Authorization: Bearer $3"} --data "$2" "$BASE$1"
}
lookup() {
	request --get "$BASE/api/lookup-email" \
		--data-urlencode "email=$EMAIL" --data-urlencode "STRIPE_PUBLIC_KEY=$PUB"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo "1. is the address known?"
found=$(lookup)
echo "$found"
case $found in *'"userExistsOnLink":false'*)
	echo "   no: sign it up, here as a customer of the app"
	request --header "Authorization: Bearer ${KEY:?a secret key of the app}" \
		--header "Content-Type: application/json" --data "{\"email\":\"$EMAIL\"}" "$BASE/v1/customers"
	found=$(lookup)
	;;
esac
secret=$(echo "$found" | field client_secret)

echo "2. send a code"
post /api/start_verification "{\"client_secret\":\"$secret\",\"email\":\"$EMAIL\"}"

printf '3. type the code: ' >&2
read -r code

echo "4. check it; whoever calls makes the session"
post /api/authenticate "{\"client_secret\":\"$secret\",\"email\":\"$EMAIL\",\"code\":\"$code\"}" "$PUB"
