package journal

import (
	"maps"
	"slices"
	"time"
)

// Effect is one effect of the scenario, as read from the source of effects: new since the load began, and with a
// key of the scenario or a phantom. An effect that has an id is recorded once, no matter how often it is listed.
type Effect struct {
	Key string `json:"key"`
	ID  string `json:"id,omitempty"` // the effect's own identifier, such as an order number

	Value string `json:"value,omitempty"` // what was applied, such as an amount; read only to compare sources

	// These are recorded if a check asks for the order of effects.
	Group string `json:"group,omitempty"` // the field that effects are grouped by
	Order string `json:"order,omitempty"` // its field "seq": a whole number or a time; "" if it has none
	Place int    `json:"place,omitempty"` // its place in the list, from 1
}

// Effects ends the list of the effects of one source, whose events come before it and after the end of another list. If
// it is missing or has an error, effects could not be read.
type Effects struct {
	Source string `json:"source"`           // "GET /ledger", or the name of a declared source
	Count  int    `json:"count"`            // effects of this scenario, one event for each
	Before int    `json:"before,omitempty"` // effects listed that were there before the load
	Others int    `json:"others,omitempty"` // effects listed with keys of others
	Folded int    `json:"folded,omitempty"` // effects of this scenario that were listed again with the same id and count once
	// Unknown is how many of Others are new and belong to no run: they are effects of other users of the system,
	// or phantoms. It is 0 where nothing else can use the system.
	Unknown int           `json:"unknown,omitempty"`
	Until   time.Duration `json:"until,omitempty"`  // from the last request to the start of the last reading
	Within  time.Duration `json:"within,omitempty"` // how long effects had to settle, if the scenario defines it
	Doubt   string        `json:"doubt,omitempty"`  // why effects may exist, or still appear, that are not listed
	Error   string        `json:"error,omitempty"`
}

// EffectList is what a further source of effects lists.
type EffectList struct {
	Effects EffectRows
	Read    *Effects // nil if the run ended before the list was complete
	end     []uint64 // of Read
}

// openEffects returns the effects of the list that has not ended.
func (h *History) openEffects() *EffectRows {
	if h.EffectsRead == nil {
		return &h.Effects
	}
	return &h.openList().Effects
}

// endEffects ends the list of a source.
func (h *History) endEffects(read *Effects, seq uint64) {
	if h.EffectsRead == nil {
		h.EffectsRead = read
		h.seq("effects", seq)
		return
	}
	l := h.openList()
	l.Read, l.end = read, []uint64{seq}
}

// openList returns the last of the further lists if it has not ended, or else a new one.
func (h *History) openList() *EffectList {
	if n := len(h.FurtherEffects); n == 0 || h.FurtherEffects[n-1].Read != nil {
		h.FurtherEffects = append(h.FurtherEffects, EffectList{})
	}
	return &h.FurtherEffects[len(h.FurtherEffects)-1]
}

// BySource returns the history once for each source of effects, as if the others had not been read. If there are no
// further sources, it returns only h.
func (h *History) BySource() []*History {
	if len(h.FurtherEffects) == 0 {
		return []*History{h}
	}
	if h.known == nil {
		return h.bySource()
	}
	if h.known.sources == nil {
		h.known.sources = h.bySource()
		for i, one := range h.known.sources {
			h.known.sources[i] = one.Remembering()
		}
	}
	return h.known.sources
}

func (h *History) bySource() []*History {
	first := *h
	first.known = nil
	first.FurtherEffects = nil
	all := []*History{&first}
	for _, l := range h.FurtherEffects {
		one := first
		one.Effects, one.EffectsRead = l.Effects, l.Read
		one.Seqs = maps.Clone(h.Seqs)
		one.Seqs["effects"] = l.end
		all = append(all, &one)
	}
	for _, one := range all {
		one.Probes = slices.Clone(h.Probes)
		for i := range one.Probes {
			one.Probes[i].keepAgain(one.EffectsRead)
		}
	}
	return all
}

// keepAgain leaves out the effects that other sources list.
func (p *Probe) keepAgain(read *Effects) {
	var again []string
	for i, id := range p.Again {
		if i < len(p.AgainIn) && read != nil && p.AgainIn[i] == read.Source {
			again = append(again, id)
		}
	}
	p.Again, p.AgainIn = again, nil
}
