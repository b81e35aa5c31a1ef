package screen

import (
	"fmt"
	"slices"

	"github.com/charmbracelet/x/ansi"
)

// margin is the width of the names of lanes.
const margin = 9

// lane is a part of the screen. Its first row has its name.
type lane struct {
	name  string
	items []item
	rows  int // for the items: fewer than these if there is no room
}

// item is a text of a lane: whole in several rows if there is room, or in one row.
type item struct {
	text, style string
	whole       bool
}

// texts returns items in one style.
func texts(style string, all ...string) (items []item) {
	for _, t := range all {
		items = append(items, item{text: t, style: style})
	}
	return items
}

// share gives rows to lanes: first one to each, then one to each item of the first ones, and then what the items need
// that do not fit into one row. A few are kept for what happened. It returns how many were given.
func share(lanes []*lane, room, width int) (given int) {
	give := func(l *lane, most int) {
		for l.rows < min(most, len(l.items)) && given < room {
			l.rows, given = l.rows+1, given+1
		}
	}
	for _, l := range lanes {
		give(l, 1)
	}
	for _, l := range lanes {
		give(l, len(l.items))
	}
	const kept = 3
	for _, l := range lanes {
		for i := range l.items[:l.rows] {
			if further := len(wrap(l.items[i].text, width-margin)) - 1; given+further <= room-kept {
				l.items[i].whole, given = true, given+further
			}
		}
	}
	return given
}

// text returns the rows of a lane, with a hint if there are further items.
func (l *lane) text(width int, paint func(style, text string) string) (rows []string) {
	items := slices.Clone(l.items[:l.rows])
	if left := len(l.items) - l.rows; left > 0 && l.rows > 1 {
		items[l.rows-1] = item{text: fmt.Sprintf("and %d more", left+1)}
	}
	for _, it := range items {
		lines := []string{ansi.Truncate(it.text, width-margin, "…")}
		if it.whole {
			lines = wrap(it.text, width-margin)
		}
		for _, line := range lines {
			name := ""
			if len(rows) == 0 {
				name = l.name
			}
			rows = append(rows, fmt.Sprintf("%-*s", margin, name)+paint(it.style, line))
		}
	}
	return rows
}
