//go:build packages

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// here is what a machine like this one gets.
var here = target{"linux", runtime.GOARCH, ""}

// built makes the product for this machine twice, as one release and the next.
var built = sync.OnceValues(func() (map[string]*release, error) {
	dir, err := os.MkdirTemp("", "packages")
	if err != nil {
		return nil, err
	}
	all := map[string]*release{}
	for _, version := range []string{"v0.1.0", "v0.1.1"} {
		r, err := newRelease(version, "..", filepath.Join(dir, version))
		if err != nil {
			return nil, err
		}
		if err := r.make([]target{here}); err != nil {
			return nil, err
		}
		all[version] = r
	}
	return all, nil
})

func released(t *testing.T, version, pattern string) string {
	t.Helper()
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(all[version].out, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// inside runs a script as root on a copy of this machine that is gone afterwards:
// everything that is written lies in memory, in a namespace of its own.
func inside(t *testing.T, script string, env ...string) string {
	t.Helper()
	c := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "sh", "-euxc", `
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/up /mnt/work /mnt/root
		mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
		mount -t proc proc /mnt/root/proc
		mount --bind /dev /mnt/root/dev
		mount -t tmpfs tmpfs /mnt/root/run
		ip link set lo up 2>/dev/null || true
		exec chroot /mnt/root sh -euxc "$SCRIPT"`)
	c.Env = append(append(os.Environ(), "SCRIPT="+script, "DEBIAN_FRONTEND=noninteractive"), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

const serve = `
	start() {
		install -d -o gatehouse -g gatehouse -m 0750 /run/gatehouse
		XDG_DATA_HOME=/var/lib/gatehouse XDG_CONFIG_HOME=/var/lib/gatehouse/config HOME=/var/lib/gatehouse \
			setpriv --reuid gatehouse --regid gatehouse --init-groups --no-new-privs --bounding-set=-all,+net_bind_service \
			/usr/bin/gatehouse run --config /etc/gatehouse/Caddyfile >/tmp/log 2>&1 &
		pid=$!
		n=0
		until gatehouse status --config /etc/gatehouse/Caddyfile >/tmp/status 2>&1; do
			n=$((n + 1))
			[ $n -lt 100 ] || { cat /tmp/log /tmp/status; exit 1; }
			sleep 0.1
		done
		cat /tmp/status
	}
	stop() { kill $pid; wait $pid; }
`

// TestDebian: installed, started as its user, upgraded with state and
// configuration kept, removed, and purged without a trace.
func TestDebian(t *testing.T) {
	out := inside(t, serve+`
		dpkg --install "$OLD"
		[ "$(stat -c '%U %a' /var/lib/gatehouse)" = 'gatehouse 700' ]
		[ "$(stat -c '%U:%G %a' /etc/gatehouse)" = 'root:gatehouse 750' ]
		[ "$(gatehouse version | cut -d, -f1)" = 'Gatehouse v0.1.0' ]
		start
		[ -S /run/gatehouse/admin.sock ]
		stop
		echo '# mine' >>/etc/gatehouse/Caddyfile
		find /var/lib/gatehouse -type f | sort >/tmp/before
		dpkg --install "$NEW"
		[ "$(gatehouse version | cut -d, -f1)" = 'Gatehouse v0.1.1' ]
		grep -q '# mine' /etc/gatehouse/Caddyfile
		find /var/lib/gatehouse -type f | sort | cmp - /tmp/before
		start
		stop
		dpkg --remove gatehouse
		[ ! -e /usr/bin/gatehouse ]
		[ -s /etc/gatehouse/Caddyfile ]
		[ -d /var/lib/gatehouse/caddy ]
		dpkg --purge gatehouse
		[ ! -e /etc/gatehouse ]
		[ ! -e /var/lib/gatehouse ]
		getent passwd gatehouse
		echo all well
	`, "OLD="+released(t, "v0.1.0", "*.deb"), "NEW="+released(t, "v0.1.1", "*.deb"))
	if !strings.Contains(out, "all well") {
		t.Error(out)
	}
}

// TestRPM does the same with rpm, on a copy of this Debian.
func TestRPM(t *testing.T) {
	out := inside(t, serve+`
		rpm --install --nodeps "$OLD"
		[ "$(stat -c '%U %a' /var/lib/gatehouse)" = 'gatehouse 700' ]
		start
		stop
		echo '# mine' >>/etc/gatehouse/Caddyfile
		rpm --upgrade --nodeps "$NEW"
		[ "$(gatehouse version | cut -d, -f1)" = 'Gatehouse v0.1.1' ]
		grep -q '# mine' /etc/gatehouse/Caddyfile
		rpm --erase gatehouse
		[ ! -e /usr/bin/gatehouse ]
		[ -d /var/lib/gatehouse/caddy ]
		echo all well
	`, "OLD="+released(t, "v0.1.0", "*.rpm"), "NEW="+released(t, "v0.1.1", "*.rpm"))
	if !strings.Contains(out, "all well") {
		t.Error(out)
	}
}

// TestLintian: Debian's own eyes find nothing.
func TestLintian(t *testing.T) {
	out, err := exec.Command("lintian", "--allow-root", "--no-cfg", "--fail-on", "error,warning", "--tag-display-limit", "0", released(t, "v0.1.0", "*.deb")).CombinedOutput()
	if found := regexp.MustCompile(`(?m)^[EW]:.*`).FindAllString(string(out), -1); err != nil || len(found) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestContainer: the image as a container has it: its files as the root, nobody
// as the user, ports free as Docker has them, and its own health check.
func TestContainer(t *testing.T) {
	root := t.TempDir()
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	r := all["v0.1.0"]
	manifest, err := index(t, r).IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index(t, r).Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range contents(t, img) {
		path := filepath.Join(root, name)
		if f.data == nil {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, f.data, os.FileMode(f.mode))
		}
		if err == nil {
			err = os.Chown(path, f.uid, f.uid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(root, "etc/gatehouse/Caddyfile"), "{\n\tgatehouse {\n\t\tmail dir /data/mail\n\t}\n}\nhttp://localhost {\n\tgatehouse any\n\trespond ok\n}\n", 0o644)
	c := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "sh", "-euc", `
		echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
		ip link set lo up
		in_image() { env -i PATH=/usr/bin HOME=/data XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config \
			/usr/sbin/chroot --userspec=65532:65532 --groups=65532 "$ROOT" /usr/bin/gatehouse "$@"; }
		in_image run --config /etc/gatehouse/Caddyfile >"$ROOT.log" 2>&1 &
		n=0
		until in_image status --config /etc/gatehouse/Caddyfile; do
			n=$((n + 1))
			[ $n -lt 100 ] || { cat "$ROOT.log"; exit 1; }
			sleep 0.1
		done
		curl -fsS http://localhost/_gatehouse/login | grep -q email
		echo all well`)
	c.Env = append(os.Environ(), "ROOT="+root)
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "all well") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestBills: the bill of materials names what the binary is made of.
func TestBills(t *testing.T) {
	data, err := os.ReadFile(released(t, "v0.1.0", "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"CycloneDX"`, "pkg:golang/github.com/caddyserver/caddy/v2@", "pkg:golang/github.com/dgraph-io/badger/v4@"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the bill of materials has no %s", want)
		}
	}
}
