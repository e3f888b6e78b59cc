install -d -m 0700 -o gatehouse -g gatehouse /var/lib/gatehouse
chown root:gatehouse /etc/gatehouse
chmod 0750 /etc/gatehouse
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload >/dev/null || :
	[ "$1" -lt 2 ] || systemctl try-restart gatehouse.service >/dev/null || :
fi
exit 0
