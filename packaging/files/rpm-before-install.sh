getent group gatehouse >/dev/null || groupadd -r gatehouse
getent passwd gatehouse >/dev/null ||
	useradd -r -g gatehouse -d /var/lib/gatehouse -s /sbin/nologin -c Gatehouse gatehouse
exit 0
