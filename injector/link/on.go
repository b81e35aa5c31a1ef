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
	chosen := chooser{On: o, lastID: l.ids}
	if o.First > 0 || o.From > 0 {
		for c := range l.conns {
			chosen.liveIDs = append(chosen.liveIDs, c.id)
		}
		slices.Sort(chosen.liveIDs)
	}
	return chosen
}

func (c *chooser) picks(link string, id uint64) bool {
	if c.First > 0 || c.From > 0 {
		n := c.number(id)
		if (c.First > 0 && n > c.First) || n < c.From {
			return false
		}
	}
	return c.Share <= 0 || c.Share >= 1 || evidence.Draw(c.Seed, id, link, c.ID, "connection") < c.Share
}

func (c *chooser) number(id uint64) uint64 {
	i, _ := slices.BinarySearch(c.liveIDs, id)
	if id > c.lastID {
		return uint64(i) + id - c.lastID
	}
	return uint64(i) + 1
}
