package scenarios

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Row holds the values of the columns of one row, for {{row.column}}.
type Row map[string]Value

// Value is a value that a request contains.
type Value struct {
	Text string // as it stands in a path, a header, or within a string of JSON
	JSON string // as it stands as a value of JSON, such as 12 or "abc"
}

// TextValue returns the value for a text without a type. As a value of JSON, "12", "true" and "null" stand for
// themselves, and other texts are strings.
func TextValue(text string) Value {
	if raw := json.RawMessage(text); json.Valid(raw) && text == strings.TrimSpace(text) {
		switch text[0] {
		case '{', '[', '"':
		default:
			return Value{text, text}
		}
	}
	return StringValue(text)
}

// StringValue returns the value of a string.
func StringValue(text string) Value {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string always encodes
	return Value{text, strings.TrimSuffix(b.String(), "\n")}
}

// jsonValue returns the value for a value of JSON.
func jsonValue(raw json.RawMessage) Value {
	return Value{source.Text(raw), string(raw)}
}

// maxRowsSize is the largest size of a file of rows, in bytes.
const maxRowsSize = 16 << 20

// ReadRows reads the rows of a file: CSV with a header line (.csv), or an array of objects of JSON (.json).
func ReadRows(fsys fs.FS, name string) ([]Row, error) {
	raw, err := source.ReadFile(fsys, name, maxRowsSize)
	if err != nil {
		return nil, source.Mistakef(codes.UnreadableFile, "its path is relative to the feature file", "the rows of %q cannot be read: %v", name, err)
	}
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
	var rows []Row
	switch ext := path.Ext(name); ext {
	case ".csv":
		rows, err = csvRows(raw)
	case ".json":
		rows, err = jsonRows(raw)
	default:
		return nil, source.Mistakef(codes.UnreadableFile, "name a file that ends in .csv or .json", "%q is not a file of rows", name)
	}
	if err == nil && len(rows) == 0 {
		err = source.Mistakef(codes.Missing, "add a row", "it has no rows")
	}
	if err != nil {
		what, hint := source.Parts(err)
		return nil, source.Mistakef(what.Code(), hint, "the rows of %q: %s", name, what)
	}
	return rows, nil
}

func csvRows(raw []byte) ([]Row, error) {
	lines, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return nil, source.Mistakef(codes.BadValue, "write as many cells in each line as in the first, which names the columns", "%v", err)
	}
	if len(lines) == 0 {
		return nil, nil
	}
	header := lines[0]
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		if header[i] == "" || slices.Contains(header[:i], header[i]) {
			return nil, source.Mistakef(codes.Duplicate, "let the first line name each column once", "the name of column %d, %q, is empty or occurs twice", i+1, header[i])
		}
	}
	var rows []Row
	for _, line := range lines[1:] {
		row := Row{}
		for i, cell := range line {
			row[header[i]] = TextValue(cell)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func jsonRows(raw []byte) ([]Row, error) {
	var objects []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &objects); err != nil {
		return nil, source.Mistakef(codes.BadValue, `write [{"email": "a@example.com"}, ...]`, "it is not an array of objects: %v", err)
	}
	var rows []Row
	for i, o := range objects {
		if o == nil {
			return nil, source.Mistakef(codes.BadValue, `write [{"email": "a@example.com"}, ...]`, "row %d is not an object", i+1)
		}
		row := Row{}
		for name, value := range o {
			row[name] = jsonValue(value)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// checkRows returns an error if a row has no value for a placeholder.
func checkRows(t Template, rows []Row) error {
	for _, p := range t {
		if p.Kind != RowPart {
			continue
		}
		if len(rows) == 0 {
			return source.Mistakef(codes.Missing, `add: rows are taken from "customers.csv"`, "%s needs rows, and there are none", p.Text)
		}
		for i, row := range rows {
			if _, ok := row[p.Arg]; ok {
				continue
			}
			var columns []string
			for name := range row {
				columns = append(columns, name)
			}
			slices.Sort(columns)
			return source.Mistakef(codes.UnknownName, source.DidYouMean(p.Arg, columns, "columns"), "%s: %s has no column %q", p.Text, fmt.Sprintf("row %d", i+1), p.Arg)
		}
	}
	return nil
}
