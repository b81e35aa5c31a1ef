package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// together reads a table of faults. Each row is converted to the sentence of its kind, so that both have the same
// meaning.
func together(r *resolver, a args) {
	rows := a.columns([]string{"fault", "to"}, []string{"from", "share", "value"})
	var placed []Placed
	for _, row := range rows {
		if p, ok := a.rowFault(row); ok {
			placed = append(placed, p)
		}
	}
	if len(placed) == 0 {
		return
	}
	r.inject(a.at, a.duration(0), placed...)
}

// sentences maps kinds of faults to sentences. {from}, {to} and {value} are replaced by cells of the row; {share}
// and {on} by its share, of calls or connections and of the connections of traffic; {way} by "one-way" if it
// precedes the kind. The part after "|" is used only if there is a value.
var sentences = map[string]string{
	"slow calls":       `{share}calls from {from} to {to} are delayed by {value}`,
	"lost requests":    `{share}requests from {from} to {to} are lost|, then {value}`,
	"lost replies":     `{share}replies from {to} to {from} are lost after the work was done|, then {value}`,
	"answered calls":   `{share}calls from {from} to {to} answer with status {value}`,
	"corrupted calls":  `{share}calls from {from} to {to} are corrupted`,
	"truncated calls":  `{share}calls from {from} to {to} are truncated`,
	"twice":            `{share}calls from {from} to {to} are delivered twice|, the copy {value} late`,
	"out of order":     `{share}calls from {from} to {to} arrive out of order, up to {value} late`,
	"partition":        `{from} are cut off from {to}`,
	"cut off":          `{from} and {to} are cut off from each other`,
	"refuse":           `{to} refuses connections from {from}`,
	"no accept":        `{to} accepts no connections from {from}`,
	"slow accept":      `{share}new connections from {from} to {to} are accepted {value} late`,
	"stalled TLS":      `{share}TLS handshakes from {from} to {to} stall`,
	"silence":          `{share}connections from {from} to {to} fall silent`,
	"half-open":        `{share}connections from {from} to {to} are half-open`,
	"reset":            `{share}connections from {from} to {to} are reset| after {value}`,
	"early close":      `{share}connections from {from} to {to} are closed after {value}`,
	"late close":       `{share}connections from {from} to {to} close {value} late`,
	"slow traffic":     `{way}traffic{on} from {from} to {to} is delayed by {value}`,
	"ramp":             `{way}latency{on} from {from} to {to} ramps from {value}`,
	"wave":             `{way}latency{on} from {from} to {to} follows a square wave of {value}`,
	"bandwidth":        `{way}traffic{on} from {from} to {to} is limited to {value} per second`,
	"shared bandwidth": `all {way}traffic{on} from {from} to {to} together is limited to {value} per second`,
	"sliced traffic":   `{way}traffic{on} from {from} to {to} is sliced into pieces of {value}`,
	"toxic":            `the toxic {value} is on {way}traffic{on} from {from} to {to}`,
	"crash":            `{to} crashes`,
	"stop":             `{to} is stopped in order`,
	"hang":             `{to} hangs`,

	"slow replies":          `{share}replies from {to} to {from} are delayed by {value}`,
	"corrupted replies":     `{share}replies from {to} to {from} are corrupted`,
	"truncated replies":     `{share}replies from {to} to {from} are truncated`,
	"slow messages":         `{share}messages from {from} to {to} are delayed by {value}`,
	"lost messages":         `{share}messages from {from} to {to} are lost|, then {value}`,
	"messages twice":        `{share}messages from {from} to {to} are delivered twice|, the copy {value} late`,
	"messages out of order": `{share}messages from {from} to {to} arrive out of order, up to {value} late`,
	"corrupted messages":    `{share}messages from {from} to {to} are corrupted`,
	"truncated messages":    `{share}messages from {from} to {to} are truncated`,
	"answered messages":     `{share}messages from {from} to {to} are answered with "{value}"`,
}

func (a args) rowFault(r tableRow) (Placed, bool) {
	kind, oneWay := strings.CutPrefix(r.cell("fault"), "one-way ")
	form, ok := sentences[kind]
	if !ok || (oneWay && !strings.Contains(form, "{way}")) {
		kinds := slices.Sorted(maps.Keys(sentences))
		a.r.addProblem(r.at("fault"), fmt.Sprintf("there is no fault %q", r.cell("fault")), didYouMean(kind, kinds, "faults"))
		return Placed{}, false
	}
	form, more, _ := strings.Cut(form, "|")
	value, share := r.cell("value"), r.cell("share")
	if value != "" {
		form += more
	}
	for column, cell := range map[string]string{"value": value, "share": share} {
		if cell != "" && !strings.Contains(form, "{"+column+"}") && (column != "share" || !strings.Contains(form, "{on}")) {
			a.r.addProblem(r.at(column), fmt.Sprintf("%q has no %s", kind, column), "leave the cell empty")
			return Placed{}, false
		}
		if column == "value" && cell == "" && strings.Contains(form, "{value}") {
			a.r.addProblem(r.at("fault"), fmt.Sprintf("%q needs a value", kind), "it is said: "+strings.NewReplacer("{share}", "", "{on}", "", "{way}", "").Replace(form))
			return Placed{}, false
		}
	}
	on, way := "", ""
	if share != "" {
		share += " of "
		on = " on " + share + "connections"
	}
	if oneWay {
		way = "one-way "
	}
	text := strings.NewReplacer("{way}", way, "{share}", share, "{on}", on, "{from}", quotedNames(r.cell("from")), "{to}", quotedNames(r.cell("to")), "{value}", value).Replace(form)
	found := match(text)
	if len(found) != 1 || found[0].row.makeFault == nil {
		a.r.addProblem(r.at("fault"), fmt.Sprintf("this row makes no sentence: %s", text), "check its share and its value")
		return Placed{}, false
	}
	at := r.at("fault")
	return found[0].row.makeFault(args{r: a.r, at: at, text: text, values: found[0].values, from: found[0].from}), true
}

// quotedNames formats a cell with one name, or several separated by commas, as in a sentence.
func quotedNames(cell string) string {
	if all := split(cell); len(all) > 0 {
		return list(all)
	}
	return `""` // the sentence reports the empty name
}

// tableRow is a row of a table with a header.
type tableRow struct {
	line
	header []string
}

func (r tableRow) cell(column string) string {
	if i := slices.Index(r.header, column); i >= 0 {
		return strings.TrimSpace(r.cells[i])
	}
	return ""
}

func (r tableRow) at(column string) pos {
	at := r.line.at
	if i := slices.Index(r.header, column); i >= 0 && i < len(r.cols) {
		at.col = r.cols[i]
	}
	return at
}

// columns validates the header of a table and returns its rows.
func (a args) columns(required, optional []string) []tableRow {
	header := a.table[0]
	ok := true
	for i, c := range header.cells {
		at := header.at
		at.col = header.cols[i]
		switch {
		case !slices.Contains(required, c) && !slices.Contains(optional, c):
			a.r.addProblem(at, fmt.Sprintf("the table has no column %q", c), didYouMean(c, slices.Concat(required, optional), "columns"))
			ok = false
		case slices.Index(header.cells, c) < i:
			a.r.addProblem(at, fmt.Sprintf("the column %q stands there twice", c), "leave one of them out")
			ok = false
		}
	}
	for _, c := range required {
		if !slices.Contains(header.cells, c) {
			a.r.addProblem(header.at, fmt.Sprintf("the table lacks the column %q", c), "its header is | "+strings.Join(slices.Concat(required, optional), " | ")+" |")
			ok = false
		}
	}
	if !ok {
		return nil
	}
	if len(a.table) == 1 {
		a.r.addProblem(header.at, "the table has a header and no row", "add a row, or leave the sentence out")
	}
	var rows []tableRow
	for _, l := range a.table[1:] {
		rows = append(rows, tableRow{line: l, header: header.cells})
	}
	return rows
}
