package link

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm is a timerfd that the runtime polls.
type alarm struct {
	fd   int
	file *os.File
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &alarm{fd, os.NewFile(uintptr(fd), "timerfd")}, nil
}

// set replaces the time that is set.
func (a *alarm) set(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	_ = unix.TimerfdSettime(a.fd, 0, &at, nil)
}

// await waits for the alarm; false when it is closed.
func (a *alarm) await() bool {
	var times [8]byte
	_, err := a.file.Read(times[:])
	return err == nil
}

func (a *alarm) close() { _ = a.file.Close() }
