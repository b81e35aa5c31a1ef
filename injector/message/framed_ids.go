package message

// waiting holds the messages whose answers will carry an id, in the order in which they were sent for each id. Since no answer need ever come, only the newest
// are kept: at most 2 * mostIDs.
type waiting struct {
	old, fresh map[string][]*exchanged
	n          int // in fresh
}

const mostIDs = 4096

// add keeps a message and returns those that it forgot.
func (w *waiting) add(x *exchanged) (forgotten []*exchanged) {
	if w.n >= mostIDs || w.fresh == nil {
		for _, list := range w.old {
			forgotten = append(forgotten, list...)
		}
		w.old, w.fresh, w.n = w.fresh, map[string][]*exchanged{}, 0
	}
	w.fresh[x.frame.id] = append(w.fresh[x.frame.id], x)
	w.n++
	return forgotten
}

// first is the message that an answer belongs to, or nil.
func (w *waiting) first(id string) *exchanged {
	for _, m := range []map[string][]*exchanged{w.old, w.fresh} {
		if list := m[id]; len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// remove takes a message out that is the first of its id.
func (w *waiting) remove(x *exchanged) {
	for i, m := range []map[string][]*exchanged{w.old, w.fresh} {
		list := m[x.frame.id]
		if len(list) == 0 || list[0] != x {
			continue
		}
		w.n -= i
		if m[x.frame.id] = list[1:]; len(list) == 1 {
			delete(m, x.frame.id)
		}
	}
}

// clear takes all out.
func (w *waiting) clear() (all []*exchanged) {
	for _, m := range []map[string][]*exchanged{w.old, w.fresh} {
		for _, list := range m {
			all = append(all, list...)
		}
	}
	*w = waiting{}
	return all
}
