package framed

import "strings"

// Classes of keywords.
var (
	pgSame         = map[string]string{"START": "BEGIN", "END": "COMMIT", "ABORT": "ROLLBACK"}
	pgTransactions = words("BEGIN COMMIT ROLLBACK SAVEPOINT RELEASE")
	pgNames        = words("CALL COPY LISTEN LOCK NOTIFY TABLE TRUNCATE UNLISTEN UPDATE") // followed by a name
	pgBeforeNames  = words("FROM INTO TABLE UPDATE")
	pgFillers      = words("EXISTS IF NOT ONLY TABLE")
	pgModifies     = words("DELETE INSERT MERGE UPDATE")
	pgMain         = words("DELETE INSERT MERGE SELECT TABLE UPDATE VALUES") // may follow the queries of a WITH
	pgExplained    = words("CREATE DECLARE DELETE EXECUTE INSERT MERGE REFRESH SELECT TABLE UPDATE VALUES WITH")
)

// pgReader parses SQL superficially: the first statement's keyword, and the name after INTO, FROM, TABLE or
// UPDATE outside of parentheses. A statement with a WITH clause is described by the statement after the clause
// or, if that modifies nothing, by the first query of the clause that does. EXPLAIN ANALYZE is described by the
// statement that it executes.
type pgReader struct {
	st                  pgStatement
	text                pgText
	atStart, expectName bool // a statement, or a name, comes next
	last, beforeLast    string
	explain             bool // inside the options of EXPLAIN
	analyze             bool
	with                *pgWith // the WITH clause being parsed
	endedWith           *pgWith // the WITH clause that has ended
}

// pgWith describes the queries of a WITH clause.
type pgWith struct {
	names        map[string]bool
	queryEnded   bool        // a query has ended
	modification pgStatement // the first query that modifies a table
	firstTable   string      // the first table that is read
	expectTarget bool        // the name of the modified table comes next
	expectTable  bool        // the name of a table comes next
}

// pgRead parses the statements of a query.
func pgRead(sql []byte) pgStatement {
	r := pgReader{text: pgText{s: sql}, atStart: true}
	for tok := r.text.next(); tok != ""; tok = r.text.next() {
		r.read(tok, strings.ToUpper(tok))
		r.beforeLast, r.last = r.last, strings.ToUpper(tok)
	}
	if w := r.with; w != nil {
		r.endedWith = w
	}
	if w := r.endedWith; w != nil && !pgModifies[r.st.method] {
		switch {
		case w.modification.method != "":
			r.st.method, r.st.path = w.modification.method, w.modification.path
		case r.st.path == "" || w.names[r.st.path]:
			r.st.path = w.firstTable
		}
	}
	if r.st.method == "" {
		r.st.method = "EMPTY"
	}
	return r.st
}

// read processes the next token.
func (r *pgReader) read(tok, word string) {
	switch {
	case tok == ";" && r.text.depth == 0:
		if r.with != nil {
			r.with, r.endedWith = nil, r.with
		}
		r.atStart, r.expectName, r.explain = true, false, false
	case r.explain && !r.readExplain(word):
	case r.with != nil && r.readWith(tok, word):
	case r.atStart && letter(tok[0]):
		r.start(word)
	case word == "STDIN" && r.st.onceReason == "":
		r.st.onceReason = "the data of its COPY are not part of it"
	case strings.HasPrefix(word, "PG_") && strings.Contains(word, "ADVISORY_LOCK"):
		r.takesLock()
	case r.text.depth > 0 || r.st.path != "":
		r.expectName = false
	case r.expectName && pgFillers[word]:
	case r.expectName && (letter(tok[0]) || tok[0] == '"'):
		r.st.path, r.expectName = unquote(tok), false
	default:
		r.expectName = pgBeforeNames[word]
	}
}

func (r *pgReader) takesLock() {
	if r.st.onceReason == "" {
		r.st.onceReason = "it takes a lock for its session"
	}
}

// start processes the first word of a statement. The first statement determines the method; any statement can
// prevent a second execution.
func (r *pgReader) start(word string) {
	r.atStart = false
	if same, ok := pgSame[word]; ok {
		word = same
	}
	if pgTransactions[word] {
		r.st.onceReason = "it opens or ends a transaction"
	}
	if r.st.method != "" {
		return
	}
	r.st.method, r.expectName = word, pgNames[word]
	r.explain = word == "EXPLAIN"
	if word == "WITH" {
		r.with = &pgWith{names: map[string]bool{}}
	}
}

// readExplain processes the options of EXPLAIN. It returns true if word begins the explained statement.
func (r *pgReader) readExplain(word string) bool {
	switch {
	case word == "ANALYZE":
		r.analyze = true
	case r.last == "ANALYZE" && (word == "FALSE" || word == "OFF" || word == "0"):
		r.analyze = false
	case r.text.depth == 0 && pgExplained[word]:
		r.explain = false
		if r.analyze {
			r.st.method, r.atStart = "", true
		}
		return true
	}
	return false
}

// readWith processes the queries of a WITH clause. It returns false if word begins the statement after them.
func (r *pgReader) readWith(tok, word string) bool {
	w, depth := r.with, r.text.depth
	isName := letter(tok[0]) || tok[0] == '"'
	switch atQuery := r.last == "WITH" || r.last == "RECURSIVE" || r.last == ","; {
	case strings.HasPrefix(word, "PG_") && strings.Contains(word, "ADVISORY_LOCK"):
		r.takesLock()
	case depth == 0 && tok == ")":
		w.queryEnded = true
	case depth == 0 && atQuery && isName && word != "RECURSIVE":
		w.names[unquote(tok)] = true
	case depth == 0 && w.queryEnded && !atQuery && pgMain[word]:
		r.st.method, r.with, r.endedWith = "", nil, w
		r.start(word)
	case depth == 0:
	case r.last == "(" && (r.beforeLast == "AS" || r.beforeLast == "MATERIALIZED") && pgModifies[word] && w.modification.method == "":
		w.modification.method, w.expectTarget = word, true
	case w.expectTarget && (word == "INTO" || word == "FROM" || word == "ONLY"):
	case w.expectTarget && isName:
		w.modification.path, w.expectTarget = unquote(tok), false
	case w.expectTable && isName && word != "ONLY":
		if name := unquote(tok); w.firstTable == "" && !w.names[name] && word != "SELECT" {
			w.firstTable = name
		}
		w.expectTable = false
	default:
		w.expectTable = word == "FROM" || (w.expectTable && word == "ONLY")
	}
	return true
}
