package framed

import (
	"strings"
	"testing"
)

// The contents of literals, comments and quoted names do not change the description of a statement, and no input
// makes the parser fail.
func FuzzPostgresStatement(f *testing.F) {
	for _, s := range []string{"", "x", ") INSERT INTO u (", "*/ DELETE", "/* a", "-- b\n", "$$", "\\'", `"`, "AS (INSERT INTO v", "(((", "\x00", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pgRead([]byte(s))
		pgRead([]byte("WITH " + s))
		pgRead([]byte("EXPLAIN " + s))
		if strings.ContainsRune(s, 0) { // it ends a query
			return
		}
		hidden := []string{"'" + strings.ReplaceAll(s, "'", "''") + "'", `"` + strings.ReplaceAll(s, `"`, `""`) + `"`, "$q_$" + strings.ReplaceAll(s, "$", "") + "$q_$"}
		if !strings.Contains(s, "/*") && !strings.Contains(s, "*/") && !strings.HasSuffix(s, "*") && !strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") {
			hidden = append(hidden, "1 /*"+s+"*/")
		}
		if !strings.Contains(s, "\n") {
			hidden = append(hidden, "1 --"+s+"\n")
		}
		for _, h := range hidden {
			for sql, want := range map[string]string{
				"WITH a AS (SELECT " + h + ") DELETE FROM t WHERE x = " + h:                  "DELETE t",
				"WITH a AS (UPDATE t SET x = " + h + " RETURNING 1) SELECT " + h + " FROM a": "UPDATE t",
				"INSERT INTO t VALUES (" + h + ")":                                           "INSERT t",
			} {
				if st := pgRead([]byte(sql)); st.method+" "+st.path != want {
					t.Errorf("%q is %s %s, want %s", sql, st.method, st.path, want)
				}
			}
		}
	})
}
