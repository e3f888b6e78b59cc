#!/bin/sh
# All of it on one machine, to try it out, as a user who is not root, each in a terminal:
#
#   ./cluster.sh first       PostgreSQL, which is made at the first time
#   ./cluster.sh second      its replica
#   ./cluster.sh nodes       three Gatehouses; they print the codes
#   ./cluster.sh front       HAProxy: open https://app.localhost:8443
#
# To see a failover, stop the first with Ctrl-C, and then
#
#   ./cluster.sh failover    the second takes over
#
# With Patroni nobody needs to say so. In place of the first two:
#
#   ./cluster.sh etcd
#   ./cluster.sh patroni first
#   ./cluster.sh patroni second
#   ./cluster.sh patronictl list
#
# What it makes is in $DIR, or gatehouse-cluster at home. On machines of their own each
# part does the same there, with their names in the certificates.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${DIR:-$HOME/gatehouse-cluster}
PATH=$PATH:/usr/lib/postgresql/15/bin:/usr/sbin
umask 077
mkdir -p "$dir"
cd "$dir"

# made prints a secret, which it makes at the first time.
made() {
	[ -e "$1" ] || openssl rand -hex 32 >"$1"
	cat "$1"
}

# certificate makes one that signs itself, for names: $1.crt and $1.key.
certificate() {
	[ -e "$1.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
		-subj "/CN=$1" -addext "subjectAltName=$2" -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

# roles prints what Gatehouse needs of a database.
roles() {
	echo "CREATE ROLE gatehouse LOGIN PASSWORD '$(made password)';"
	echo "CREATE DATABASE gatehouse OWNER gatehouse ENCODING 'UTF8' TEMPLATE template0;"
}

case "${1-}" in
first)
	[ -e first ] || {
		certificate server IP:127.0.0.1,DNS:localhost
		initdb -D first -E UTF8 --locale=C.UTF-8 >/dev/null
		cp "$here/postgresql.conf" "$here/pg_hba.conf" server.crt server.key first
		{
			roles
			echo "CREATE ROLE replica LOGIN REPLICATION PASSWORD '$(made replica)';"
		} | postgres --single -D first postgres >/dev/null
	}
	exec postgres -D first -p 5433
	;;
second)
	[ -e second ] || pg_basebackup -D second -c fast -R -C -S second \
		-d "host=127.0.0.1 port=5433 user=replica password=$(made replica) sslmode=verify-full sslrootcert=$dir/server.crt"
	exec postgres -D second -p 5434
	;;
failover)
	pg_ctl -D second promote
	;;
etcd)
	exec etcd --data-dir etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --log-level warn
	;;
patroni | patronictl)
	port=5433 api=8008
	[ "$2" != second ] || port=5434 api=8009
	certificate server IP:127.0.0.1,DNS:localhost
	roles >roles.sql
	export PATRONI_NAME="$2" PATRONI_POSTGRESQL_DATA_DIR="$dir/$2" PATRONI_POSTGRESQL_BIN_DIR=/usr/lib/postgresql/15/bin
	export PATRONI_POSTGRESQL_LISTEN=127.0.0.1:$port PATRONI_POSTGRESQL_CONNECT_ADDRESS=127.0.0.1:$port
	export PATRONI_RESTAPI_LISTEN=127.0.0.1:$api PATRONI_RESTAPI_CONNECT_ADDRESS=127.0.0.1:$api
	PATRONI_SUPERUSER_PASSWORD=$(made superuser) PATRONI_REPLICATION_PASSWORD=$(made replica)
	PATRONI_REWIND_PASSWORD=$(made rewind) PATRONI_RESTAPI_PASSWORD=$(made restapi)
	export PATRONI_SUPERUSER_PASSWORD PATRONI_REPLICATION_PASSWORD PATRONI_REWIND_PASSWORD PATRONI_RESTAPI_PASSWORD
	for user in SUPERUSER REPLICATION REWIND; do
		export PATRONI_${user}_SSLROOTCERT="$dir/server.crt"
	done
	[ "$1" = patronictl ] || exec patroni "$here/patroni.yml"
	shift
	exec patronictl -c "$here/patroni.yml" "$@"
	;;
nodes)
	GATEHOUSE_SECRET=$(made secret)
	GATEHOUSE_DATABASE="postgres://gatehouse:$(made password)@127.0.0.1:5433,127.0.0.1:5434/gatehouse?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=$dir/server.crt"
	export GATEHOUSE_SECRET GATEHOUSE_DATABASE
	trap 'kill $pids' INT TERM
	pids=
	for port in 8001 8002 8003; do
		PORT=$port gatehouse run --config "$here/Caddyfile" &
		pids="$pids $!"
	done
	wait
	wait
	;;
front)
	certificate sites DNS:app.localhost,DNS:wiki.localhost,DNS:auth.localhost
	cat sites.crt sites.key >sites.pem
	exec haproxy -db -f "$here/haproxy.cfg"
	;;
*)
	sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$here/cluster.sh"
	exit 2
	;;
esac
