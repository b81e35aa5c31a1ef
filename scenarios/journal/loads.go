package journal

import (
	"maps"
	"slices"
)

// addLoad adds a load that has ended. Load sums the loads: numbers of requests add up, and of limits and delays it has
// the longest. It is closed if all loads are.
func (h *History) addLoad(l Load) {
	h.Loads = append(h.Loads, l)
	if len(h.Loads) == 1 {
		h.Load = &l
		return
	}
	s := *h.Load
	s.Name = ""
	if s.Shape != l.Shape {
		s.Shape, s.KeptAsking = "", 0
	}
	if s.Shape == "closed" {
		s.KeptAsking = min(s.KeptAsking, l.KeptAsking)
	}
	s.Requested += l.Requested
	s.Intended, s.Sent, s.Unsent, s.Stale = s.Intended+l.Intended, s.Sent+l.Sent, s.Unsent+l.Unsent, s.Stale+l.Stale
	s.Attempts, s.Wire, s.Retries = s.Attempts+l.Attempts, s.Wire+l.Wire, s.Retries+l.Retries
	s.Hedges, s.OverBudget, s.EndsEarly = s.Hedges+l.Hedges, s.OverBudget+l.OverBudget, s.EndsEarly || l.EndsEarly
	s.Workers, s.Bound = s.Workers+l.Workers, s.Bound+l.Bound
	if len(l.GeneratorErrors) > 0 {
		errors := map[string]int{}
		maps.Copy(errors, s.GeneratorErrors)
		for why, n := range l.GeneratorErrors {
			errors[why] += n
		}
		s.GeneratorErrors = errors
	}
	s.SlipP99, s.GiveUp, s.Patience = max(s.SlipP99, l.SlipP99), max(s.GiveUp, l.GiveUp), max(s.Patience, l.Patience)
	s.Took, s.CPU, s.GCPause = max(s.Took, l.Took), max(s.CPU, l.CPU), max(s.GCPause, l.GCPause)
	if s.Error == "" {
		s.Error = l.Error
	}
	h.Load = &s
}

// AllLoads returns the loads by themselves.
func (h *History) AllLoads() []Load {
	if h.Loads == nil && h.Load != nil {
		return []Load{*h.Load}
	}
	return h.Loads
}

// OfLoad returns the history with only the requests of the load with a name. Faults, calls, effects and all else are
// unchanged.
func (h *History) OfLoad(name string) *History {
	u := h.only(func(load string) bool { return load == name })
	u.Load, u.Loads, u.LoadNames = nil, nil, []string{name}
	for _, l := range h.Loads {
		if l.Name == name {
			u.Load, u.Loads = &l, []Load{l}
		}
	}
	return u
}

// OfCopy returns the history with only the samples of requests to a service or to its copy. All else is unchanged.
func (h *History) OfCopy(service string) *History {
	u := *h
	u.Seqs = h.copySeqs()
	u.Samples, u.Seqs["sample"] = filter(h.Samples, h.Seqs["sample"], func(s Sample) bool { return s.Copy == service })
	return &u
}

// copySeqs returns a copy of Seqs that may be changed.
func (h *History) copySeqs() map[string][]uint64 {
	seqs := map[string][]uint64{}
	maps.Copy(seqs, h.Seqs)
	return seqs
}

// only returns the history with only the samples and requests of some loads.
func (h *History) only(keep func(load string) bool) *History {
	u := *h
	u.Seqs = h.copySeqs()
	u.Samples, u.Seqs["sample"] = filter(h.Samples, h.Seqs["sample"], func(s Sample) bool { return keep(s.Load) })
	u.Requests, u.known = ofLoads(&h.Requests, keep), nil
	return &u
}

// filter returns the items to keep, with their sequence numbers if these are known.
func filter[T any](items []T, seqs []uint64, keep func(T) bool) (kept []T, keptSeqs []uint64) {
	for i, item := range items {
		if !keep(item) {
			continue
		}
		kept = append(kept, item)
		if i < len(seqs) {
			keptSeqs = append(keptSeqs, seqs[i])
		}
	}
	return kept, keptSeqs
}

// Missing returns the names of the loads whose results are missing, sorted.
func (h *History) Missing() []string {
	var names []string
	for _, name := range h.LoadNames {
		if !slices.ContainsFunc(h.Loads, func(l Load) bool { return l.Name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
