package scenarios

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWordsAreSplitAsTheyWereFilledIn(t *testing.T) {
	for text, want := range map[string][]string{
		`SET a b`:               {"SET", "a", "b"},
		"  SET\ta \r\n 'b c'  ": {"SET", "a", "b c"},
		`SET a "b \"c\" \n"`:    {"SET", "a", "b \"c\" \n"},
		`SET a ''`:              {"SET", "a", ""},
		`SET a b'c'"d"\ e`:      {"SET", "a", "bcd e"},
		``:                      nil,
	} {
		got, err := SplitWords(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	_, err := SplitWords(`SET a "b`)
	require.ErrorContains(t, err, "not closed")
	for _, value := range []string{`plain`, `it's "so" \n`, " a  b\n\t\r", `\`} {
		for _, around := range []string{``, `'`, `"`} {
			got, err := SplitWords("SET a " + around + "<" + Word(value) + ">" + around)
			require.NoError(t, err)
			assert.Equal(t, []string{"SET", "a", "<" + value + ">"}, got)
		}
	}
}

func TestOperationsThatOnlyRead(t *testing.T) {
	for _, c := range []struct {
		kind, text string
		reads      bool
	}{
		{"redis", "get stock", true}, {"redis", "GET stock", true}, {"redis", "INCR stock", false}, {"redis", "GETDEL stock", false},
		{"postgres", " select * from stock", true}, {"postgres", "SELECT nextval('a')", false}, {"postgres", "with a as (insert into b values (1)) select 1", false},
		{"postgres", "select 1; delete from a", false}, {"postgres", "insert into a values (1)", false}, {"nats message", "GET", false}, {"lines", "GET a", false},
		{"redis", "ZRANGE a 0 1", true}, {"redis", "ZRANGESTORE a b 0 1", false}, {FuncKind, "", false},
	} {
		assert.Equal(t, c.reads, Route{Kind: c.kind, Path: "GET /", Body: c.text}.ReadOnly(), c.text)
	}
}

func TestEveryKindOfLoadIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range LoadKinds() {
		assert.False(t, seen[k.Name], k.Name)
		seen[k.Name] = true
		assert.NotEmpty(t, k.Word, k.Name)
		assert.NotEmpty(t, k.Means, k.Name)
		_, ok := KindOfLoad(k.Name)
		assert.True(t, ok)
	}
	_, ok := KindOfLoad("")
	assert.False(t, ok, "HTTP is none of them")
}
