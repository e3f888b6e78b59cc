#!/bin/sh
# Signs somebody in through the StackBE calls of gatehouse_api:
#
#   BASE=https://api.example.com APP=shop KEY=sk_live_… EMAIL=you@example.com ./stackbe.sh
#
# The mail's link is asked for on the terminal.
set -eu
: "${BASE:?the origin of gatehouse_api}" "${APP:?id of the app}" "${KEY:?a secret key of the app}" "${EMAIL:?your address}"

# request is curl, which says on a failure what the server answered.
request() {
	answer=$(curl --silent --show-error --fail-with-body "$@") || {
		status=$?
		printf '%s\n' "$answer" >&2
		exit $status
	}
	printf '%s\n' "$answer"
}
call() { # method path [body] [token]
	request --request "$1" "$BASE$2" \
		--header "Authorization: Bearer ${4-$KEY}" \
		--header "Content-Type: application/json" ${3:+--data "$3"}
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo "1. send a magic link"
call POST "/v1/apps/$APP/auth/magic-link" "{\"email\":\"$EMAIL\"}"

printf '2. paste the link of the mail: ' >&2
read -r link
token=$(echo "$link" | sed 's/.*[?&]token=\([^&]*\).*/\1/')

echo "3. turn its token into a session"
verified=$(call POST "/v1/apps/$APP/auth/verify" "{\"token\":\"$token\"}")
echo "$verified"
session=$(echo "$verified" | field sessionToken)
customer=$(echo "$verified" | field customerId)

echo "4. ask whose session it is, with the session token instead of the key"
call GET "/v1/apps/$APP/auth/session" "" "$session"

echo "5. ask what the customer may do"
call GET "/v1/entitlements?customerId=$customer"

echo "6. change the customer"
call PATCH "/v1/customers/$customer" '{"name":"A. Customer","metadata":{"from":"curl"}}'

echo "7. make an organization, and act for it"
org=$(call POST "/v1/apps/$APP/organizations" '{"name":"Example Inc."}' "$session" | field id)
call POST "/v1/apps/$APP/auth/switch-organization" "{\"organizationId\":\"$org\"}" "$session"
