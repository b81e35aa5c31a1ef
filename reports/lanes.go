package reports

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// lane shows what happened to one key with an anomaly: its attempts, the calls that they caused, and its effects.
type lane struct {
	Key, Kind string
	Cause     string // which lost answer caused it; "" if that is not known
	Effects   string
	Faults    string // that were live meanwhile
	Height    int
	SVG       template.HTML
}

// maxLanes limits the lanes of a ledger: the smallest examples are the clearest.
const maxLanes = 5

// span is an attempt or a call in a lane.
type span struct {
	row      string // "clients" or a link
	at, took time.Duration
	end      string // "status 201", "no answer"
	lost     bool   // its caller got no answer
	fault    bool   // a fault acted on it
}

// newLanes returns the lanes of the smallest anomalies.
func newLanes(h *journal.History, anomalies []check.Anomaly) []lane {
	type example struct {
		check.Anomaly
		spans []span
	}
	requests := requestsOf(h, anomalies)
	var all []example
	for _, a := range anomalies {
		if r, ok := requests[a.Key]; ok && len(r.Attempts) > 0 {
			all = append(all, example{a, spansOf(h, r)})
		}
	}
	slices.SortStableFunc(all, func(a, b example) int {
		return cmp.Or(cmp.Compare(known(b.spans), known(a.spans)), cmp.Compare(len(a.spans), len(b.spans)), cmp.Compare(a.spans[0].at, b.spans[0].at))
	})
	var lanes []lane
	for _, e := range all[:min(maxLanes, len(all))] {
		l := lane{Key: e.Key, Kind: e.Kind, Cause: cause(e.Kind, e.spans), Effects: describeEffects(e.Effects), Faults: e.Anomaly.Faults}
		l.draw(h, e.spans)
		lanes = append(lanes, l)
	}
	return lanes
}

// known returns how well an anomaly is explained: 2 if a call is known on which a fault acted, 1 if an answer was lost.
func known(all []span) (n int) {
	for _, s := range all {
		switch {
		case s.lost && s.fault:
			n = 2
		case s.lost:
			n = max(n, 1)
		}
	}
	return n
}

// requestsOf returns the requests of some anomalies.
func requestsOf(h *journal.History, anomalies []check.Anomaly) map[string]journal.Request {
	wanted := map[string]bool{}
	for _, a := range anomalies {
		wanted[a.Key] = true
	}
	found := map[string]journal.Request{}
	var key []byte
	for _, r := range journal.Packed(&h.Requests) {
		if key = r.AppendKey(key[:0]); wanted[string(key)] {
			found[string(key)] = r.Request()
		}
	}
	return found
}

// spansOf returns the attempts of a request and the calls that it caused on links, in order of time. Calls of clients are
// attempts, and only what they add is taken from them.
func spansOf(h *journal.History, r journal.Request) (all []span) {
	for _, a := range r.Attempts {
		end := a.Error
		if end == "" && a.Status > 0 {
			end = fmt.Sprintf("status %d", a.Status)
		}
		all = append(all, span{row: "clients", at: a.At, took: a.Took, end: cmp.Or(end, "answered"), lost: a.Error != ""})
	}
	for _, s := range h.Stories {
		if s.Key != r.Key {
			continue
		}
		for _, c := range s.Calls {
			one := span{row: c.Link, at: c.At, took: c.Took, end: fmt.Sprintf("status %d", c.Status), lost: c.Status == 0 || c.GaveUp, fault: c.Fault != ""}
			switch {
			case c.GaveUp:
				one.end = "given up"
			case c.Status == 0:
				one.end = "no answer"
			}
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return cmp.Compare(a.at, b.at) })
	return all
}

// cause names the lost answer after which the same was asked again on the same link, deepest in the system first: what is
// further from the client began later.
func cause(kind string, all []span) string {
	if kind != check.AnomalyDuplicated {
		return ""
	}
	for _, withFault := range []bool{true, false} {
		for i, s := range slices.Backward(all) {
			if !s.lost || s.fault != withFault {
				continue
			}
			for _, again := range all[i+1:] {
				if again.row == s.row {
					return fmt.Sprintf("%s: no answer arrived to what was sent at %s%s; it was sent again at %s", s.row, precise(s.at), map[bool]string{true: ", since a fault acted on it"}[s.fault], precise(again.at))
				}
			}
		}
	}
	return ""
}

// precise formats a moment to the millisecond.
func precise(t time.Duration) string { return fmt.Sprintf("+%.3fs", t.Seconds()) }

// describeEffects lists the effects of a key.
func describeEffects(ids []string) string {
	named := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	text := things(len(ids), "effect")
	if len(named) > 0 {
		text += ": " + strings.Join(named, ", ")
	}
	return text
}

// The measures of a lane, in pixels.
const (
	laneLeft   = 130
	laneRow    = 24
	laneLabels = 120 // room for the outcome of the last attempt
)

// draw draws a row for the clients and each link, with a bar for each attempt and call.
func (l *lane) draw(h *journal.History, all []span) {
	from, to := all[0].at, all[0].at
	var rows []string
	for _, s := range all {
		to = max(to, s.at+s.took)
		if !slices.Contains(rows, s.row) {
			rows = append(rows, s.row)
		}
	}
	to = max(to, from+time.Millisecond)
	x := func(t time.Duration) int {
		return laneLeft + int(float64(chartWidth-laneLeft-laneLabels)*float64(min(max(t, from), to)-from)/float64(to-from))
	}
	var out strings.Builder
	bottom := len(rows) * laneRow
	for _, in := range h.LiveBetween(from, to) {
		a, b := x(in.Injected), x(end(h, in))
		fmt.Fprintf(&out, `<path d="M%d 0H%dV%dH%dz" fill="url(#hatch)"/>`, a, max(b, a+1), bottom, a)
	}
	for i, row := range rows {
		y := i * laneRow
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="end">%s</text><path d="M%d %dH%d" stroke="currentColor" stroke-opacity=".2"/>`, laneLeft-8, y+16, html.EscapeString(shorten(row, 20)), laneLeft, y+12, chartWidth-8)
		free := 0
		for _, s := range all {
			if s.row != row {
				continue
			}
			colour, icon := green, ""
			if s.lost {
				colour, icon = vermillion, "✗ "
			}
			a, b := x(s.at), max(x(s.at+s.took), x(s.at)+3)
			fmt.Fprintf(&out, `<path d="M%d %dH%dV%dH%dz" fill="%s" fill-opacity=".45" stroke="%s"/>`, a, y+5, b, y+19, a, colour, colour)
			label := shorten(icon+s.end, 20)
			width := len([]rune(label)) * 6
			at := b + 4
			if width+8 < b-a {
				at = a + 4
			}
			if at >= free {
				fmt.Fprintf(&out, `<text x="%d" y="%d">%s</text>`, at, y+16, html.EscapeString(label))
				free = at + width
			}
		}
	}
	fmt.Fprintf(&out, `<text x="%d" y="%d" class="tick">%s</text><text x="%d" y="%d" text-anchor="end" class="tick">%s</text>`, laneLeft, bottom+13, precise(from), x(to), bottom+13, precise(to))
	l.Height, l.SVG = bottom+18, template.HTML(out.String()) //nolint:gosec // numbers, and text that was escaped
}
