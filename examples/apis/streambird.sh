#!/bin/sh
# Signs somebody in through the Streambird calls of gatehouse_api, by link and by
# code:
#
#   BASE=https://api.example.com KEY=sk_live_… EMAIL=you@example.com ./streambird.sh
#
# What the mails have is asked for on the terminal.
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
call() { # method path [body]
	request --request "$1" "$BASE/v1/auth/$2" \
		--header "Authorization: Bearer $KEY" \
		--header "Content-Type: application/json" ${3:+--data "$3"}
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

echo "1. send a magic link; a new address becomes a user"
made=$(call POST magic_links/email/login_or_create "{\"email\":\"$EMAIL\"}")
echo "$made"
user=$(echo "$made" | field user_id)

printf '2. paste the link of the mail: ' >&2
read -r link
token=$(echo "$link" | sed 's/.*[?&]token=\([^&]*\).*/\1/')

echo "3. check its token, with a session of an hour"
verified=$(call POST magic_links/verify "{\"token\":\"$token\",\"session_expires_in\":60}")
echo "$verified"
session=$(echo "$verified" | sed 's/.*"session_token":"\([0-9A-Za-z]*\)".*/\1/')

echo "4. send a code"
method=$(call POST otps/email/send "{\"email\":\"$EMAIL\",\"expires_in\":10}" | field email_id)

printf '5. type the code of the mail: ' >&2
read -r code

echo "6. check it; the same session gains the proof"
call POST otps/verify "{\"method_id\":\"$method\",\"otp\":\"$code\",\"session_token\":\"$session\"}"

echo "7. the user, the sessions, the keys of the session's JWT"
call GET "users/$user"
call GET "sessions/list?user_id=$user"
call GET jwks/default

echo "8. end the session"
call DELETE sessions/delete "{\"session_token\":\"$session\"}"
