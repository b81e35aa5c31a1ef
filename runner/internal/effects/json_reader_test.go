package effects

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// decodeAll returns the effects of a page.
func decodeAll(h List, body *strings.Reader, slowly bool) (all []journal.Effect, err error) {
	each := func(e journal.Effect) error {
		all = append(all, e)
		return nil
	}
	if slowly {
		return all, h.decode(iotest.OneByteReader(body), &listing{total: -1}, each)
	}
	err = h.decode(body, &listing{total: -1}, each)
	return all, err
}

// FuzzList requires that only JSON is a list, whatever pieces it arrives in, and that what is read in the fast way is as
// what encoding/json reads.
func FuzzList(f *testing.F) {
	for _, text := range []string{
		`[]`, `[{"key":"a","id":1}]`, `{"effects":[{"key":"a"},{"key":2,"id":"b","value":10.50}],"next":null}`, `[{"key":"a"},]`, `[{"KEY":"a"}]`, `[{"key":"a","key":"b"}]`,
		`[{"key":-0.5e7,"id":01}]`, `[{"key":"\u0061","x":{"key":[1,{}]}}]`, ` [ { "key" : "a" , "id" : true } ] `, `[{"key":"é","value":null}`, `{"effects":[]]}`, "[{\"key\":\"\x01\"}]", `"`, `1`, `[{"key":1`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields := Fields{}
		if e, n := fields.plain([]byte(text)); n > 0 {
			want, err := fields.effect([]byte(strings.TrimSpace(text[:n])))
			require.NoError(t, err)
			require.Equal(t, want, e)
			require.True(t, json.Valid([]byte(text[:n])))
		}
		for _, h := range []List{{}, {isPath: true}, {items: []string{"effects"}, next: []string{"next"}, isPath: true}} {
			all, err := decodeAll(h, strings.NewReader(text), false)
			if err == nil {
				require.True(t, json.Valid([]byte(text)))
			}
			slow, slowErr := decodeAll(h, strings.NewReader(text), true)
			require.Equal(t, err == nil, slowErr == nil, "%v, %v", err, slowErr)
			if err == nil {
				require.Equal(t, all, slow)
			}
		}
	})
}

// A number at the end of a document has no delimiter, and one at the end of the buffer goes on behind it.
func TestValuesAtTheEndOfTheBuffer(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{{"12"}, {"[", "{}", "]"}, {"{", `"a"`, ":", "-1.5e3", "}"}} {
		r := newJSONReader(iotest.OneByteReader(strings.NewReader(strings.Join(values, " "))))
		for _, want := range values {
			if len(want) == 1 {
				require.NoError(t, r.expect(want[0]))
				continue
			}
			got, err := r.value()
			require.NoError(t, err)
			assert.Equal(t, want, string(got))
		}
		assert.True(t, r.end())
	}
}
