package framed

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// pgStatement describes a statement or a series.
type pgStatement struct {
	method, path string
	onceReason   string // why it must not be executed twice in one session
	unnamed      bool   // prepared without a name, so that the next such statement replaces it
	executed     bool   // of a series: it executes something
}

// pgSeries parses the frames of a message to the server.
type pgSeries struct {
	statements       map[string]pgStatement
	statement        pgStatement
	split            bool   // a part of it has already been forwarded
	whyNotRepeatable string // why its names must not be defined twice or used later
	parsedUnnamed    bool   // it contains the Parse of an unnamed statement
}

// maxStatements limits the prepared statements and portals that are remembered. Others have the method EXECUTE.
const maxStatements = 4096

// read parses a message, or the beginning of a large one, and returns the type of its last frame.
func (s *pgSeries) read(raw []byte) (last byte) {
	for len(raw) >= 5 {
		size := min(len(raw), 1+int(binary.BigEndian.Uint32(raw[1:])))
		last = raw[0]
		s.frame(last, raw[5:size])
		raw = raw[size:]
	}
	return last
}

func (s *pgSeries) frame(kind byte, body []byte) {
	switch kind {
	case 'Q':
		s.executes(pgRead(body))
	case 'F':
		s.executes(pgStatement{method: "FUNCTION"})
	case 'P':
		name, sql := cut(body), body[min(len(body), len(cut(body))+1):]
		st := pgRead(sql)
		st.unnamed = name == ""
		s.parsedUnnamed = s.parsedUnnamed || st.unnamed
		s.remember("S"+name, st)
		s.describe("PREPARE", st.path)
		if name != "" {
			s.whyNotRepeatable = "it names a prepared statement"
		}
	case 'B':
		portal := cut(body)
		name := cut(body[min(len(body), len(portal)+1):])
		st, ok := s.statements["S"+name]
		if !ok {
			st = pgStatement{method: "EXECUTE", onceReason: "its statement is not known"}
		}
		if st.unnamed && !s.parsedUnnamed {
			st.onceReason = "its statement came before and has no name"
		}
		s.remember("P"+portal, st)
		s.describe("BIND", st.path)
	case 'E':
		st, ok := s.statements["P"+cut(body)]
		if !ok {
			st = pgStatement{method: "EXECUTE", onceReason: "its statement is not known"}
		}
		s.executes(st)
	case 'C':
		delete(s.statements, string(bytes.TrimRight(body, "\x00")))
		s.describe("CLOSE", "")
	case 'D':
		s.describe("DESCRIBE", "")
	}
}

func (s *pgSeries) remember(key string, st pgStatement) {
	if _, ok := s.statements[key]; ok || len(s.statements) < maxStatements {
		s.statements[key] = st
	}
}

// executes records a statement that is executed. The first one determines the method of the series.
func (s *pgSeries) executes(st pgStatement) {
	if !s.statement.executed {
		s.statement.method, s.statement.path, s.statement.executed = st.method, st.path, true
	}
	if s.statement.onceReason == "" {
		s.statement.onceReason = st.onceReason
	}
}

// describe sets the method of a series that executes nothing.
func (s *pgSeries) describe(method, path string) {
	if s.statement.method == "" {
		s.statement.method, s.statement.path = method, path
	}
}

// why returns why a message must not be executed twice, or "".
func (s *pgSeries) why() string {
	switch {
	case s.split:
		return pgSplit
	case s.whyNotRepeatable != "":
		return s.whyNotRepeatable
	}
	return s.statement.onceReason
}

func unquote(name string) string {
	if strings.Contains(name, `"`) {
		return strings.ReplaceAll(name, `"`, "")
	}
	return strings.ToLower(name)
}

// pgText splits SQL into tokens. It skips comments, and reduces a literal to its quotation mark.
type pgText struct {
	s         []byte
	at, depth int
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

// next returns a word, a name with its dots and quotation marks, or a single character. It returns "" at the
// end.
func (t *pgText) next() string {
	for t.at < len(t.s) && t.s[t.at] != 0 {
		from, rest := t.at, t.s[t.at:]
		switch c := rest[0]; {
		case c <= ' ':
			t.at++
		case bytes.HasPrefix(rest, []byte("--")):
			t.skip(2, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			t.comment()
		case c == '\'':
			t.literal(false)
			return "'"
		case c == '$' && t.dollar():
			return "'"
		case letter(c) || c == '"':
			t.name()
			word := string(t.s[from:t.at])
			if strings.EqualFold(word, "e") && t.at < len(t.s) && t.s[t.at] == '\'' {
				t.literal(true)
				return "'"
			}
			return word
		default:
			t.at++
			switch c {
			case '(', '[':
				t.depth++
			case ')', ']':
				t.depth--
			}
			return string(rest[:1])
		}
	}
	return ""
}

// skip advances by from, and then behind the next occurrence of end, or to the end of the text.
func (t *pgText) skip(from int, end string) {
	t.at += from
	if i := bytes.Index(t.s[t.at:], []byte(end)); i >= 0 {
		t.at += i + len(end)
	} else {
		t.at = len(t.s)
	}
}

// comment skips a comment, including nested ones.
func (t *pgText) comment() {
	for depth := 0; t.at < len(t.s); {
		switch rest := t.s[t.at:]; {
		case bytes.HasPrefix(rest, []byte("/*")):
			depth++
			t.at += 2
		case bytes.HasPrefix(rest, []byte("*/")):
			t.at += 2
			if depth--; depth == 0 {
				return
			}
		default:
			t.at++
		}
	}
}

// literal skips a quoted literal. With backslashes, a backslash escapes the next character.
func (t *pgText) literal(backslashes bool) {
	for t.at++; t.at < len(t.s); t.at++ {
		switch t.s[t.at] {
		case '\\':
			if backslashes {
				t.at++
			}
		case '\'':
			t.at++
			return // a doubled quotation mark begins the next literal
		}
	}
	t.at = len(t.s)
}

// dollar skips a dollar-quoted literal. It returns false if there is none, as for a parameter.
func (t *pgText) dollar() bool {
	for end := t.at + 1; end < len(t.s); end++ {
		switch c := t.s[end]; {
		case c == '$':
			t.skip(end+1-t.at, string(t.s[t.at:end+1]))
			return true
		case !letter(c) && (c < '0' || c > '9' || end == t.at+1):
			return false
		}
	}
	return false
}

// name skips a name with its dots: schema.table, "Table", schema."Table".
func (t *pgText) name() {
	for quoted := false; t.at < len(t.s); t.at++ {
		switch c := t.s[t.at]; {
		case c == '"':
			quoted = !quoted
		case !quoted && !letter(c) && c != '.' && c != '$' && (c < '0' || c > '9'):
			return
		}
	}
}
