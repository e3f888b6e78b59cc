#!/bin/sh
set -e

if [ "$1" = remove ] || [ "$1" = purge ]; then
	# Whoever enabled the unit made this link.
	rm -f /etc/systemd/system/multi-user.target.wants/gatehouse.service
fi

if [ "$1" = purge ]; then
	# State is people and sessions: who purges wants it gone. The user stays, as
	# files elsewhere may be its own.
	rm -rf /var/lib/gatehouse /etc/gatehouse
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload >/dev/null || true
fi

exit 0
