package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The guardian of a program is a process that heals when the program has ended without cleaning up, or when its lease has
// ended. It runs the same executable under another name, so that it exists for every program that uses this package, such
// as a test binary. It has a session of its own: what is sent to the process group or to the terminal of the program does
// not reach it. It ends when the program has cleaned up or has ended.

// guardianName is the name under which an executable acts as a guardian. Its only argument is the record.
const guardianName = "firedrill-guardian"

// Packages are initialized before main and before tests, so that a guardian does nothing else.
var _ = guardIfAsked()

func guardIfAsked() bool {
	if len(os.Args) != 2 || os.Args[0] != guardianName {
		return false
	}
	code := 0
	if err := guard(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	syscall.Exit(code) // at once, while os.Exit waits for the race detector
	return true
}

const (
	guardianReady = "ready\n"
	readyFile     = 3 // the descriptor to which the guardian writes guardianReady
	startTimeout  = 20 * time.Second
	healTries     = 3
)

// guard waits until the owner of a record has ended, and heals then and when the lease ends. It opens the record only when
// standard input ends, so that it exists before the record does.
func guard(name string) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	ready := os.NewFile(readyFile, "ready")
	if _, err := io.WriteString(ready, guardianReady); err != nil {
		return err
	}
	_ = ready.Close()
	closeInherited()
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		_ = unix.Dup2(int(null.Fd()), 2) // the owner does not read errors any more
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	record, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, lasts, err := readLease(record)
	if err != nil {
		lasts = defaultLease // the owner was killed before it wrote it
	}
	gone := make(chan struct{})
	go func() {
		for syscall.Flock(int(record.Fd()), syscall.LOCK_EX) != nil { // interrupted
			time.Sleep(time.Millisecond)
		}
		close(gone)
	}()
	look := time.NewTicker(max(lasts/beatsPerLease/2, time.Millisecond))
	defer look.Stop()
	for ended := false; ; {
		select {
		case <-gone:
			for range healTries {
				var h Healed
				if healKilled(record, &h); h.Err == nil {
					return nil
				}
				time.Sleep(time.Second)
			}
			return nil // the record stays, for Heal
		case <-look.C:
		}
		if !ended && overdue(record, gone) && isAt(record, name) && claim(name) {
			ended = true
			(&Healed{State: OwnerHangs}).undo(record)
		}
	}
}

// closeInherited closes what the owner has from whoever started it, such as the lock of a shell, which a guardian must
// not keep. Descriptors that this process opened are the ones that are closed on exec.
func closeInherited() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// guardian is the guardian of this program.
type guardian struct {
	cmd   *exec.Cmd
	waits *os.File      // keeps it from opening the record, until it is closed
	ended chan struct{} // closed when it has ended
}

// startGuardian starts the guardian of a record, which need not exist yet, and waits until it has started. It guards from
// the call of begin on, or from the end of this program.
func startGuardian(record string) (*guardian, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	defer from.Close()
	input, waits, err := os.Pipe()
	if err != nil {
		_ = to.Close()
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{guardianName, record}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = input, to, []*os.File{to}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_, _ = to.Close(), input.Close()
	if err != nil {
		_ = waits.Close()
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	g := &guardian{cmd: cmd, waits: waits, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(g.ended)
	}()
	_ = from.SetReadDeadline(time.Now().Add(startTimeout))
	said, err := io.ReadAll(io.LimitReader(from, 64<<10))
	if !strings.HasSuffix(string(said), guardianReady) {
		g.end()
		if err == nil {
			err = errors.New("it ended")
		}
		return nil, fmt.Errorf("start the guardian, which runs this executable as %q: it did not start: %w: %s", guardianName, err, strings.TrimSpace(string(said)))
	}
	return g, nil
}

// begin has the guardian open the record, which this program has locked.
func (g *guardian) begin() { _ = g.waits.Close() }

// end ends the guardian and waits for that.
func (g *guardian) end() {
	_ = g.waits.Close()
	_ = g.cmd.Process.Kill()
	<-g.ended
}

// replaceIfEnded starts another guardian if this one was killed. If that fails, it is tried again at the next beat.
func (g *guardian) replaceIfEnded(record string) {
	select {
	case <-g.ended:
	default:
		return
	}
	if another, err := startGuardian(record); err == nil {
		another.begin()
		*g = *another
	}
}
