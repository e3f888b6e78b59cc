package badgerstore

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	ptraceGetSyscallInfo = 0x420e
	ptraceExitKill       = 0x100000
	waitAll              = 0x40000000 // __WALL: threads too

	syscallEntry = 1
	syscallExit  = 2
)

// syscallInfo is the kernel's struct ptrace_syscall_info, the same on every
// processor.
type syscallInfo struct {
	op     uint8
	_      [3]byte
	arch   uint32
	ip, sp uint64
	nr     uint64 // at exit: the result
	args   [6]uint64
	_      [2]uint64
}

// trace runs cmd, tells d of each sync that succeeds, before the process goes
// on, and kills it once enough is true or d has counted enough syncs.
func trace(cmd *exec.Cmd, d *disk, enough *atomic.Bool, started func()) error {
	runtime.LockOSThread() // ptrace knows threads
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	started()
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|ptraceExitKill); err != nil {
		return err
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	return follow(pid, d, enough)
}

// follow handles every stop of every thread until the process is gone.
func follow(pid int, d *disk, enough *atomic.Bool) error {
	pending := map[int]func(){} // by thread: for when its sync has succeeded
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, waitAll, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return err
		case status.Exited() || status.Signaled():
			if tid == pid {
				return nil
			}
			continue
		}
		if enough.Load() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		deliver := 0
		switch signal := status.StopSignal(); signal {
		case syscall.SIGTRAP | 0x80:
			atSyscall(tid, pid, d, pending)
		case syscall.SIGTRAP, syscall.SIGSTOP: // a new thread
		default:
			deliver = int(signal)
		}
		_ = syscall.PtraceSyscall(tid, deliver) // fails if it was killed
	}
}

func atSyscall(tid, pid int, d *disk, pending map[int]func()) {
	var info syscallInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return
	}
	switch info.op {
	case syscallEntry:
		delete(pending, tid)
		if path, from, to, ok := syncCall(pid, info); ok {
			pending[tid] = d.synced(path, from, to)
		}
	case syscallExit:
		if done := pending[tid]; done != nil && info.nr == 0 {
			done()
			if d.cutAfter--; d.cutAfter == 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		delete(pending, tid)
	}
}

// syncCall tells which part of which file a system call syncs.
func syncCall(pid int, info syscallInfo) (path string, from, to int64, ok bool) {
	switch info.nr {
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, info.args[0]))
		return path, 0, math.MaxInt64, err == nil
	case syscall.SYS_MSYNC:
		if info.args[2]&syscall.MS_SYNC == 0 {
			return "", 0, 0, false
		}
		path, at, ok := mapped(pid, info.args[0])
		return path, at, at + int64(info.args[1]), ok
	}
	return "", 0, 0, false
}

// mapped finds the file behind an address, and the place in it.
func mapped(pid int, addr uint64) (path string, offset int64, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return "", 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var start, end, at, inode uint64
		var perms, device string
		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %x %s %d", &start, &end, &perms, &at, &device, &inode)
		if n == 6 && start <= addr && addr < end && inode != 0 {
			_, path, _ := strings.Cut(lines.Text(), "/")
			return "/" + path, int64(at + addr - start), true
		}
	}
	return "", 0, false
}
