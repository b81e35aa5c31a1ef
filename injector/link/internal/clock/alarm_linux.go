package clock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm is a timerfd polled by the runtime.
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

// set makes the alarm go off after d, and replaces an earlier setting.
func (a *alarm) set(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	_ = unix.TimerfdSettime(a.fd, 0, &at, nil)
}

// await waits until the alarm goes off. It returns false if the alarm was closed.
func (a *alarm) await() bool {
	var times [8]byte
	_, err := a.file.Read(times[:])
	return err == nil
}

func (a *alarm) close() { _ = a.file.Close() }
