package link

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// On selects the connections that a fault acts on, and the counter of its effects. The zero value
// selects all connections and counts nothing.
//
// A fault numbers connections from 1: first those that are live when it is added, in order of
// acceptance, and then the new ones. A fault that acts on new connections only numbers only those.
// Whether a connection is selected depends on this number, its ID and the seed. Adding or removing
// other faults therefore does not change it.
type On struct {
	ID    string // the fault's name; part of the random draw
	Seed  uint64
	Share float64           // of connections, drawn by hash; 0 means all
	First uint64            // only the first First connections; 0 means no limit
	From  uint64            // only connections from this number on; 0 means from the first
	Count *evidence.Counter // nil counts nothing
}

func (o On) check(what, link string) error {
	if !(o.Share >= 0 && o.Share <= 1) {
		return fmt.Errorf("%s on link %q for a share of %v of its connections: a share must be between 0 and 1", what, link, o.Share)
	}
	if o.First > 0 && o.From > o.First {
		return fmt.Errorf("%s on link %q for the first %d connections from the %s on: there are none", what, link, o.First, strconv.FormatUint(o.From, 10))
	}
	return nil
}

// chooser applies On to one link. It remembers which connections were live when the fault was added.
type chooser struct {
	On
	liveIDs []uint64 // IDs of the connections that were live, ascending
	lastID  uint64   // ID of the newest connection at that time
}

// newChooser returns a chooser that numbers connections from now on. l.mu must be held.
func (l *Link) newChooser(o On) chooser {
	w := chooser{On: o, lastID: l.ids}
	if o.First > 0 || o.From > 0 {
		for c := range l.conns {
			w.liveIDs = append(w.liveIDs, c.id)
		}
		slices.Sort(w.liveIDs)
	}
	return w
}

func (w *chooser) picks(link string, id uint64) bool {
	if w.First > 0 || w.From > 0 {
		n := w.number(id)
		if (w.First > 0 && n > w.First) || n < w.From {
			return false
		}
	}
	return w.Share <= 0 || w.Share >= 1 || evidence.Draw(w.Seed, id, link, w.ID, "connection") < w.Share
}

func (w *chooser) number(id uint64) uint64 {
	i, _ := slices.BinarySearch(w.liveIDs, id)
	if id > w.lastID {
		return uint64(i) + id - w.lastID
	}
	return uint64(i) + 1
}
