package language

import (
	"regexp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// together reads a table of faults. Each row is converted to the sentence of its kind, so that both have the same
// meaning.
func together(r *reading, a args) {
	rows := a.columns([]string{"fault", "to"}, []string{"from", "share", "value"})
	var placed []scenarios.Placed
	for _, row := range rows {
		if p, ok := a.rowFault(row); ok {
			placed = append(placed, p)
		}
	}
	if len(placed) == 0 {
		return
	}
	r.InjectOnLinks(a.at, a.Duration(0), placed...)
}

var (
	valueIn     = regexp.MustCompile(`\[[^\]]*\]`)
	optionalIn  = regexp.MustCompile(`\(([^()]*)\)`)
	selectionIn = strings.NewReplacer("{calls}", "{share}calls", "{requests}", "{share}requests", "{replies}", "{share}replies", "{messages}", "{share}messages",
		"{connections}", "{share}connections", "{new_connections}", "{share}new connections", "{handshakes}", "{share}TLS handshakes",
		"{traffic}", "{way}traffic{on}", "{latency}", "{way}latency{on}", "{for}", "", "is/are", "are")
)

// rowForms returns the sentence of a row of a table of faults, with and without a value. {from}, {to} and {value} are
// replaced by cells of the row; {share} and {on} by its share, of calls or connections and of the connections of
// traffic; {way} by "one-way" if it precedes the kind.
func rowForms(k injector.Kind) (with, without string) {
	form := selectionIn.Replace(k.Sentences[0].Pattern)
	form = strings.Replace(strings.Replace(form, "{names}", "{from}", 1), "{names}", "{to}", 1)
	form = strings.ReplaceAll(form, "[{text}]", `"{value}"`)
	form = valueIn.ReplaceAllString(form, "{value}")
	with = optionalIn.ReplaceAllStringFunc(form, func(part string) string {
		if strings.Contains(part, "{value}") {
			return part[1 : len(part)-1]
		}
		return ""
	})
	return with, optionalIn.ReplaceAllString(form, "")
}

func (a args) rowFault(r tableRow) (scenarios.Placed, bool) {
	name, oneWay := strings.CutPrefix(r.cell("fault"), "one-way ")
	faults := a.r.vocabulary.faults
	i := slices.IndexFunc(faults, func(k injector.Kind) bool { return k.Name == name })
	var with, form string
	if i >= 0 {
		with, form = rowForms(faults[i])
	}
	if i < 0 || (oneWay && !strings.Contains(form, "{way}")) {
		var names []string
		for _, k := range faults {
			names = append(names, k.Name)
		}
		slices.Sort(names)
		a.r.AddProblem(r.at("fault"), codes.UnknownName.Msgf("there is no fault %q", r.cell("fault")), source.DidYouMean(name, names, "faults"))
		return scenarios.Placed{}, false
	}
	value, share := r.cell("value"), r.cell("share")
	if value != "" {
		form = with
	}
	for column, cell := range map[string]string{"value": value, "share": share} {
		if cell != "" && !strings.Contains(form, "{"+column+"}") && (column != "share" || !strings.Contains(form, "{on}")) {
			a.r.AddProblem(r.at(column), codes.WrongArgument.Msgf("%q has no %s", name, column), "leave the cell empty")
			return scenarios.Placed{}, false
		}
		if column == "value" && cell == "" && strings.Contains(form, "{value}") {
			a.r.AddProblem(r.at("fault"), codes.WrongArgument.Msgf("%q needs a value", name), "it is said: "+strings.NewReplacer("{share}", "", "{on}", "", "{way}", "").Replace(form))
			return scenarios.Placed{}, false
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
	found := a.r.vocabulary.match(text)
	if len(found) != 1 || found[0].phrase.makeFault == nil {
		a.r.AddProblem(r.at("fault"), codes.WrongArgument.Msgf("this row makes no sentence: %s", text), "check its share and its value")
		return scenarios.Placed{}, false
	}
	at := r.at("fault")
	return found[0].phrase.makeFault(args{r: a.r, at: at, text: text, values: found[0].values, from: found[0].from}), true
}

// quotedNames formats a cell with one name, or several separated by commas, as in a sentence.
func quotedNames(cell string) string {
	if all := source.Split(cell); len(all) > 0 {
		return source.Quote(all)
	}
	return `""` // the sentence reports the empty name
}

// tableRow is a row of a table with a header.
type tableRow struct {
	feature.Line
	header []string
}

func (r tableRow) cell(column string) string {
	if i := slices.Index(r.header, column); i >= 0 {
		return strings.TrimSpace(r.Cells[i])
	}
	return ""
}

func (r tableRow) at(column string) source.Pos {
	at := r.Line.At
	if i := slices.Index(r.header, column); i >= 0 && i < len(r.Cols) {
		at.Col = r.Cols[i]
	}
	return at
}

// columns validates the header of a table and returns its rows.
func (a args) columns(required, optional []string) []tableRow {
	header := a.table[0]
	ok := true
	for i, c := range header.Cells {
		at := header.At
		at.Col = header.Cols[i]
		switch {
		case !slices.Contains(required, c) && !slices.Contains(optional, c):
			a.r.AddProblem(at, codes.UnknownName.Msgf("the table has no column %q", c), source.DidYouMean(c, slices.Concat(required, optional), "columns"))
			ok = false
		case slices.Index(header.Cells, c) < i:
			a.r.AddProblem(at, codes.Duplicate.Msgf("the column %q stands there twice", c), "leave one of them out")
			ok = false
		}
	}
	for _, c := range required {
		if !slices.Contains(header.Cells, c) {
			a.r.AddProblem(header.At, codes.WrongArgument.Msgf("the table lacks the column %q", c), "its header is | "+strings.Join(slices.Concat(required, optional), " | ")+" |")
			ok = false
		}
	}
	if !ok {
		return nil
	}
	if len(a.table) == 1 {
		a.r.AddProblem(header.At, codes.WrongArgument.Msgf("the table has a header and no row"), "add a row, or leave the sentence out")
	}
	var rows []tableRow
	for _, l := range a.table[1:] {
		rows = append(rows, tableRow{Line: l, header: header.Cells})
	}
	return rows
}

// Rows returns the rows of the table, which has exactly these columns.
func (a args) Rows(columns ...string) []check.Row {
	var all []check.Row
	for _, r := range a.columns(columns, nil) {
		all = append(all, checkRow{a.r, r})
	}
	return all
}

// checkRow is a row of the table of a check. Its methods report problems at their cell.
type checkRow struct {
	r *reading
	tableRow
}

func (r checkRow) Cell(column string) string { return r.cell(column) }

func (r checkRow) Problem(column string, what codes.Message, hint string) {
	r.r.AddProblem(r.at(column), what, hint)
}

// Ratio parses a percentage.
func (r checkRow) Ratio(column string) float64 {
	ratio, err := source.ParsePercent(r.cell(column))
	if err != nil {
		what, hint := source.Parts(err)
		r.Problem(column, what, hint)
	}
	return ratio
}
