package framed

// pendingIDs holds the messages whose answers will carry an ID, in the order in which they were sent for each
// ID. Since an answer may never come, it keeps only the newest messages, at most 2 * maxIDs.
type pendingIDs struct {
	old, recent map[string][]*exchange
	n           int // number of messages in recent
}

const maxIDs = 4096

// add adds a message and returns those that were evicted.
func (w *pendingIDs) add(x *exchange) (evicted []*exchange) {
	if w.n >= maxIDs || w.recent == nil {
		for _, list := range w.old {
			evicted = append(evicted, list...)
		}
		w.old, w.recent, w.n = w.recent, map[string][]*exchange{}, 0
	}
	w.recent[x.frame.ID] = append(w.recent[x.frame.ID], x)
	w.n++
	return evicted
}

// first returns the oldest message with an ID, or nil.
func (w *pendingIDs) first(id string) *exchange {
	for _, m := range []map[string][]*exchange{w.old, w.recent} {
		if list := m[id]; len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// remove removes a message that is the oldest with its ID.
func (w *pendingIDs) remove(x *exchange) {
	for i, m := range []map[string][]*exchange{w.old, w.recent} {
		list := m[x.frame.ID]
		if len(list) == 0 || list[0] != x {
			continue
		}
		w.n -= i
		if m[x.frame.ID] = list[1:]; len(list) == 1 {
			delete(m, x.frame.ID)
		}
	}
}

// clear removes and returns all messages.
func (w *pendingIDs) clear() (all []*exchange) {
	for _, m := range []map[string][]*exchange{w.old, w.recent} {
		for _, list := range m {
			all = append(all, list...)
		}
	}
	*w = pendingIDs{}
	return all
}
