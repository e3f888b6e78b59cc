#!/bin/sh
set -e

if [ "$1" = configure ]; then
	if ! getent passwd gatehouse >/dev/null; then
		adduser --quiet --system --group --home /var/lib/gatehouse --no-create-home --gecos Gatehouse gatehouse
	fi
	mkdir -p /var/lib/gatehouse
	chown gatehouse:gatehouse /var/lib/gatehouse
	chmod 0700 /var/lib/gatehouse
	# The directory may come to hold secrets: they are for the service alone.
	chown root:gatehouse /etc/gatehouse
	chmod 0750 /etc/gatehouse
fi

if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-deconfigure ] || [ "$1" = abort-remove ]; then
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload >/dev/null || true
		if [ -n "$2" ]; then
			# An upgrade: what runs is the old binary until it is started anew.
			deb-systemd-invoke try-restart gatehouse.service >/dev/null || true
		fi
	fi
fi

exit 0
