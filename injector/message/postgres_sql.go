package message

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// pgStatement is what is known of a statement, or of a series of them.
type pgStatement struct {
	method, path string
	once         string // why it must not be executed twice in one session
	unnamed      bool   // it is known by no name, which the next such statement takes over
	runs         bool   // a series: it executes something
}

// pgSeries reads the frames of a message to the server.
type pgSeries struct {
	known map[string]pgStatement
	is    pgStatement
	split bool   // a part of it has gone before
	names string // why what it names cannot be named twice, or be relied on later
	fresh bool   // it parsed the statement without a name itself
}

// mostKnown bounds the prepared statements and portals that are remembered; those that are not are told as EXECUTE.
const mostKnown = 4096

// read takes a message, or the beginning of a large one, and returns the type of its last frame.
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
		s.fresh = s.fresh || st.unnamed
		s.remember("S"+name, st)
		s.seems("PREPARE", st.path)
		if name != "" {
			s.names = "it names a prepared statement"
		}
	case 'B':
		portal := cut(body)
		name := cut(body[min(len(body), len(portal)+1):])
		st, ok := s.known["S"+name]
		if !ok {
			st = pgStatement{method: "EXECUTE", once: "its statement is not known"}
		}
		if st.unnamed && !s.fresh {
			st.once = "its statement came before and has no name"
		}
		s.remember("P"+portal, st)
		s.seems("BIND", st.path)
	case 'E':
		st, ok := s.known["P"+cut(body)]
		if !ok {
			st = pgStatement{method: "EXECUTE", once: "its statement is not known"}
		}
		s.executes(st)
	case 'C':
		delete(s.known, string(bytes.TrimRight(body, "\x00")))
		s.seems("CLOSE", "")
	case 'D':
		s.seems("DESCRIBE", "")
	}
}

func (s *pgSeries) remember(key string, st pgStatement) {
	if _, ok := s.known[key]; ok || len(s.known) < mostKnown {
		s.known[key] = st
	}
}

// executes makes the first statement that is executed the one that a series is known by.
func (s *pgSeries) executes(st pgStatement) {
	if !s.is.runs {
		s.is.method, s.is.path, s.is.runs = st.method, st.path, true
	}
	if s.is.once == "" {
		s.is.once = st.once
	}
}

// seems gives a series that executes nothing a method.
func (s *pgSeries) seems(method, path string) {
	if s.is.method == "" {
		s.is.method, s.is.path = method, path
	}
}

// why is why a message must not be executed twice.
func (s *pgSeries) why() string {
	switch {
	case s.split:
		return pgSplit
	case s.names != "":
		return s.names
	}
	return s.is.once
}

// What keywords mean, besides themselves.
var (
	pgSame         = map[string]string{"START": "BEGIN", "END": "COMMIT", "ABORT": "ROLLBACK"}
	pgTransactions = words("BEGIN COMMIT ROLLBACK SAVEPOINT RELEASE")
	pgNames        = words("CALL COPY LISTEN LOCK NOTIFY TABLE TRUNCATE UNLISTEN UPDATE") // are followed by a name
	pgBeforeNames  = words("FROM INTO TABLE UPDATE")
	pgFillers      = words("EXISTS IF NOT ONLY TABLE")
)

// pgRead reads SQL as far as that is easy: the first keyword, and the name behind INTO, FROM, TABLE or UPDATE, outside of brackets.
func pgRead(sql []byte) pgStatement {
	var st pgStatement
	t := pgText{s: sql}
	begins, names := true, false // a statement, a name
	for tok := t.next(); tok != ""; tok = t.next() {
		word := strings.ToUpper(tok)
		switch {
		case tok == ";":
			begins, names = true, false
		case begins && letter(tok[0]):
			begins = false
			if same, ok := pgSame[word]; ok {
				word = same
			}
			if pgTransactions[word] {
				st.once = "it opens or ends a transaction"
			}
			if st.method == "" {
				st.method, names = word, pgNames[word]
			}
		case word == "STDIN" && st.once == "":
			st.once = "the data of its COPY are not part of it"
		case strings.HasPrefix(word, "PG_") && strings.Contains(word, "ADVISORY_LOCK") && st.once == "":
			st.once = "it takes a lock for its session"
		case t.depth > 0 || st.path != "":
			names = false
		case names && pgFillers[word]:
		case names && (letter(tok[0]) || tok[0] == '"'):
			st.path, names = unquote(tok), false
		default:
			names = pgBeforeNames[word]
		}
	}
	if st.method == "" {
		st.method = "EMPTY"
	}
	return st
}

func unquote(name string) string {
	if strings.Contains(name, `"`) {
		return strings.ReplaceAll(name, `"`, "")
	}
	return strings.ToLower(name)
}

// pgText cuts SQL into words. Comments are left out, and of literals only a quotation mark is left.
type pgText struct {
	s         []byte
	at, depth int
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

// next returns a word, a name with its dots and quotation marks, or a single character; "" at the end.
func (t *pgText) next() string {
	for t.at < len(t.s) && t.s[t.at] != 0 {
		from, rest := t.at, t.s[t.at:]
		switch c := rest[0]; {
		case c <= ' ':
			t.at++
		case bytes.HasPrefix(rest, []byte("--")):
			t.skip(2, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			t.skip(2, "*/") // one within another is not followed
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

// skip goes on behind an end that stands from from on, or to the end of all.
func (t *pgText) skip(from int, end string) {
	t.at += from
	if i := bytes.Index(t.s[t.at:], []byte(end)); i >= 0 {
		t.at += i + len(end)
	} else {
		t.at = len(t.s)
	}
}

// literal skips one in quotation marks, which stand twice, or behind a backslash if there are such, where they belong to it.
func (t *pgText) literal(backslashes bool) {
	for t.at++; t.at < len(t.s); t.at++ {
		switch t.s[t.at] {
		case '\\':
			if backslashes {
				t.at++
			}
		case '\'':
			t.at++
			return // a second one begins the next literal
		}
	}
	t.at = len(t.s)
}

// dollar skips a literal between dollars, if that is what begins here, and no parameter.
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
