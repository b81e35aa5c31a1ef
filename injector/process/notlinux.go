//go:build !linux

package process

import (
	"os"
	"time"
)

// Without /proc and subreapers, which only Linux has, processes cannot be attributed to services.

// tracksDescendants is whether descendants are found in any process group or session, as needed to
// control a daemon.
const tracksDescendants = false

// mark is the number of a start. It cannot be read from a process on this system.
type mark uint64

func newMark(_, start uint64) mark { return mark(start) }

func (m mark) number() int { return int(m) }

func (mark) variable(service string) string { return "FIREDRILL_SERVICE=" + service }

// listening reports whether an endpoint accepts connections. Which process listens is known on Linux
// only, so it is assumed to be a member while there are members. UDP cannot be checked.
func listening(e Endpoint, f *family) listeners {
	members := f.alive()
	if e.Network == "udp" {
		return listeners{any: len(members) > 0, members: len(members) > 0}
	}
	any := accepts(e)
	return listeners{any: any, members: any && len(members) > 0}
}

// Listening returns nothing: here it is not known which process listens.
func Listening() []Listener { return nil }

func listeningAddresses([]member) []string { return nil }

// socketsAt and sharing require /proc of Linux.
func socketsAt(Endpoint) map[string]bool { return nil }

func sharing(Endpoint, *family) []string { return nil }

// killLeftovers does nothing: the processes of a killed runner can be found on Linux only.
func killLeftovers(uint64, map[int]uint64) ([]string, error) { return nil, nil }

func (*leftovers) recordUnmarked(time.Duration) {}

func bootID() string { return "" }

// isDisk returns false: there are no disks.
func isDisk(string) bool { return false }

func unmount(string) error { return nil }

// lease is not kept: there is no guardian.
type lease struct{}

func beginLease(_ string, _ time.Duration, create func() error) (*lease, error) { return nil, create() }

func (*lease) end() {}

func renewLease() {}

func ownLease(string) bool { return false }

func overdue(*os.File, <-chan struct{}) bool { return false }

func claim(string) bool { return false }

func monotonic() time.Duration { return 0 }

// startTime returns 0: start times are known on Linux only.
func startTime(int) uint64 { return 0 }
