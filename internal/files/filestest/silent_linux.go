// Package filestest makes files that behave badly, for tests. It keeps nothing.
package filestest

import (
	"os"
	"syscall"
	"testing"
)

// Silent has nobody open the file at path, which is there, until the test ends or
// answer is called: as on a network that is gone, whoever does waits. The kernel gives
// up after 45 s (/proc/sys/fs/lease-break-time).
func Silent(t testing.TB, path string) (answer func()) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const setLease = 1024 // F_SETLEASE
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), setLease, syscall.F_WRLCK); errno != 0 {
		t.Fatalf("%s: no lease: %v", path, errno)
	}
	answer = func() { file.Close() }
	t.Cleanup(answer)
	return answer
}
