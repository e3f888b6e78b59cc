package caddytest

import (
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// listensTwice returns an address at which this process listens with two
// sockets, "" if there is none. It looks at the process's own sockets: the table of
// the whole machine takes longer to read the more connections have just ended.
func listensTwice() string {
	fds, _ := os.ReadDir("/proc/self/fd")
	seen := map[netip.AddrPort]string{}
	for _, entry := range fds {
		fd, _ := strconv.Atoi(entry.Name())
		if listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || listens == 0 {
			continue // or closed meanwhile
		}
		addr, _ := syscall.Getsockname(fd)
		socket, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil {
			continue
		}
		var at netip.AddrPort
		switch addr := addr.(type) {
		case *syscall.SockaddrInet4:
			at = netip.AddrPortFrom(netip.AddrFrom4(addr.Addr), uint16(addr.Port))
		case *syscall.SockaddrInet6:
			at = netip.AddrPortFrom(netip.AddrFrom16(addr.Addr), uint16(addr.Port))
		default:
			continue
		}
		if was, known := seen[at]; known && was != socket {
			return at.String()
		}
		seen[at] = socket
	}
	return ""
}
