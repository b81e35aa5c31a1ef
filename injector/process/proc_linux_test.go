package process

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReadMissingParents simulates processes that start and exit while they are being listed, and
// hidden ones.
func TestReadMissingParents(t *testing.T) {
	now := map[int]stat{ // the current processes
		1: {pid: 1}, 10: {pid: 10, ppid: 7}, // the parent is hidden
		20: {pid: 20, ppid: 1},                          // the parent was 19, which has ended
		31: {pid: 31, ppid: 30}, 30: {pid: 30, ppid: 1}, // 30 was missed
	}
	all := map[int]stat{
		1: {pid: 1}, 10: {pid: 10, ppid: 7}, 11: {pid: 11, ppid: 10}, 20: {pid: 20, ppid: 19}, 21: {pid: 21, ppid: 22}, // 21 and 22 have ended
		31: {pid: 31, ppid: 30},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		readMissingParents(all, func(pid int) (stat, error) {
			if s, ok := now[pid]; ok {
				return s, nil
			}
			return stat{}, errors.New("gone")
		})
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("a hidden parent is looked for without end")
	}
	now[11] = stat{pid: 11, ppid: 10}
	require.Equal(t, now, all)
}
