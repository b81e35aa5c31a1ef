package effects

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fetch reads the answer of a handler as a list of effects.
func fetch(t *testing.T, h http.HandlerFunc) ([]journal.Effect, error) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	var all []journal.Effect
	_, err := List{Method: http.MethodGet, URL: server.URL + "/ledger"}.read(t.Context(), func(e journal.Effect) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

func respond(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestListsOfEffects(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]journal.Effect{
		`[]`:                        nil,
		` [ ] ` + "\n":              nil,
		`{"effects":[]}`:            nil,
		`[{"key":"a"}]`:             {{Key: "a"}},
		`[{"key":"a","id":null}]`:   {{Key: "a"}},
		`[{"key":"a","id":"o-1"}]`:  {{Key: "a", ID: "o-1"}},
		`[{"key":"a","id":"a"}]`:    {{Key: "a"}},
		`[{"key":12,"id":7}]`:       {{Key: "12", ID: "7"}},
		`[{"key":"é\n\"","id":-1}]`: {{Key: "é\n\"", ID: "-1"}},
		`[{"key":"a","id":123456789012345678901234567890},{"key":"a","id":9007199254740993}]`:  {{Key: "a", ID: "123456789012345678901234567890"}, {Key: "a", ID: "9007199254740993"}},
		`{"count":1,"next":null,"has_more":false,"effects":[{"key":"a","more":{"next":"x"}}]}`: {{Key: "a"}},
		`{"effects":[{"key":"a"}],"total":1,"paging":{"next":""},"name":"total"}`:              {{Key: "a"}},
	} {
		got, err := fetch(t, respond(text))
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
}

func TestInvalidLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		``:                                    {"the body is empty", "it must be a JSON array"},
		`null`:                                {"it is null"},
		`"hello"`:                             {"it is a string"},
		`12`:                                  {"it is a number"},
		`true`:                                {"it is true or false"},
		`hello`:                               {"it is not JSON", `"hello"`},
		`<html>login</html>`:                  {"it is not JSON", `<html>login</html>`},
		`{}`:                                  {`without "effects"`, "no fields"},
		`{"data":[],"Total":0}`:               {`without "effects"`, `"data", "Total"`},
		`{"effects":null}`:                    {`"effects"`, "null"},
		`{"effects":{"a":1}}`:                 {`"effects" is an object`},
		`{"effects":3}`:                       {`"effects" is a number`},
		`{"effects":[],"effects":[]}`:         {`two fields "effects"`},
		`[1]`:                                 {"item 1 is a number", "an object"},
		`[{"key":"a"},null]`:                  {"item 2 is null"},
		`[["a"]]`:                             {"item 1 is an array"},
		`[{"key":"a"},{"id":"o-2"}]`:          {`item 2 has no "key"`, `"id"`},
		`[{"idempotency_key":"a","order":1}]`: {`item 1 has no "key"`, `"idempotency_key", "order"`, "the idempotency key of its request"},
		`[{"key":""}]`:                        {`has an empty "key"`},
		`[{"key":null}]`:                      {`has an empty "key"`},
		`[{"key":{"a":1}}]`:                   {`a "key" that is an object`},
		`[{"key":true}]`:                      {`a "key" that is true or false`},
		`[{"key":"a","id":[1]}]`:              {`an "id" that is an array`},
		`[{"key":"a"}`:                        {"ends early, after item 1"},
		`[{"key":"a"},{"key"`:                 {"item 2 cannot be read"},
		`[{"key":"a"} {"key":"b"}]`:           {"item 2 cannot be read"},
		`[{"key":"a"}][{"key":"b"}]`:          {"more data after the list"},
		`[{"key":"a"}] x`:                     {"more data after the list"},
		`{"effects":[{"key":"a"}],"x":`:       {`"x" cannot be read`},
		`[{"key":"` + strings.Repeat("a", maxNameBytes+1) + `"}]`: {"longer than 4096 bytes"},
		strings.Repeat("[", 100_000):                              {"item 1"},
	} {
		_, err := fetch(t, respond(text))
		require.Error(t, err, "%.60s", text)
		for _, part := range want {
			assert.ErrorContains(t, err, part, "%.60s", text)
		}
	}
}

func TestPartialListsAreRejected(t *testing.T) {
	t.Parallel()
	const one = `"effects":[{"key":"a"}]`
	head := func(name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			_, _ = io.WriteString(w, `[{"key":"a"},{"key":"b"}]`)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"link":        head("Link", `<http://x/ledger?page=2>; rel="next"`),
		"link, plain": head("Link", `<http://x/?p=0>; rel=prev, <http://x/?p=2>; rel=next`),
		"total":       head("X-Total-Count", "3"),
		"range":       head("Content-Range", "items 0-1/3"),
		"206": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "[]")
		},
		"next":        respond(`{` + one + `,"next":"/ledger?page=2"}`),
		"next page":   respond(`{"next_page":2,` + one + `}`),
		"has more":    respond(`{"hasMore":true,` + one + `}`),
		"total field": respond(`{"total":20,` + one + `}`),
		"count":       respond(`{` + one + `,"count":2}`),
		"pagination":  respond(`{` + one + `,"pagination":{"next_cursor":"abc"}}`),
		"HAL":         respond(`{` + one + `,"_links":{"next":{"href":"/x"}}}`),
		"meta":        respond(`{"meta":{"total_count":2},` + one + `}`),
		"DynamoDB":    respond(`{"LastEvaluatedKey":{"key":"a"},` + one + `}`),
	} {
		_, err := fetch(t, h)
		require.ErrorContains(t, err, "it lists only", name)
		assert.ErrorContains(t, err, "a place that lists all of them at once", name)
	}
	for _, h := range []http.HandlerFunc{head("X-Total-Count", "2"), head("Content-Range", "items 0-1/2"), head("Link", `<http://x/>; rel="self"`), head("Content-Range", "items 0-1/*")} {
		_, err := fetch(t, h)
		require.NoError(t, err)
	}
}

func TestInvalidAnswers(t *testing.T) {
	t.Parallel()
	_, err := fetch(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "[]")
	})
	require.ErrorContains(t, err, "status 500")
	_, err = fetch(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) })
	require.ErrorContains(t, err, `use the path "/login" instead`)
	_, err = fetch(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"key":"a"},`)
		_ = http.NewResponseController(w).Flush()
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	require.Error(t, err, "a list that ends early")
}

// stream writes a list of a given number of bytes that consists of copies of an item.
func stream(w io.Writer, begin, item, end string, bytes int) {
	_, _ = io.WriteString(w, begin)
	block := strings.Repeat(item, max(1, 1<<16/len(item)))
	for sent := 0; sent < bytes; sent += len(block) {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, end)
}

// TestLongListUsesConstantMemory reads 24 MiB, as many items and as one key.
func TestLongListUsesConstantMemory(t *testing.T) {
	const size = 24 << 20
	item := `{"key":"k-1","id":1,"order":"` + strings.Repeat("x", 4000) + `"},`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"items":   {func(w http.ResponseWriter, _ *http.Request) { stream(w, "[", item, `{"key":"k-2"}]`, size) }, ""},
		"a key":   {func(w http.ResponseWriter, _ *http.Request) { stream(w, `[{"key":"`, "a", `"}]`, size) }, "longer than"},
		"a field": {func(w http.ResponseWriter, _ *http.Request) { stream(w, `{"a":"`, "a", `","effects":[]}`, size) }, "longer than"},
		"a name":  {func(w http.ResponseWriter, _ *http.Request) { stream(w, `{"`, "a", `":[]}`, size) }, "longer than"},
		"spaces":  {func(w http.ResponseWriter, _ *http.Request) { stream(w, `[`, " ", `]`, size) }, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			var most, before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			items := 0
			look := func() {
				var now runtime.MemStats
				if runtime.ReadMemStats(&now); now.HeapAlloc > most.HeapAlloc {
					most = now
				}
			}
			_, err := List{Method: http.MethodGet, URL: server.URL}.read(t.Context(), func(journal.Effect) error {
				if items++; items%1000 == 0 {
					look()
				}
				return nil
			})
			look()
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
			} else {
				require.NoError(t, err)
				assert.Greater(t, items, 5_000)
			}
			if most.HeapAlloc > before.HeapAlloc {
				t.Logf("%d KiB more", (most.HeapAlloc-before.HeapAlloc)>>10)
				assert.Less(t, most.HeapAlloc-before.HeapAlloc, uint64(18<<20))
			}
		})
	}
}

// The function that receives effects can reject one, and the error names its position.
func TestRejectedEffectNamesItsPosition(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(respond(`[{"key":"a"},{"key":"b"}]`))
	defer server.Close()
	n := 0
	_, err := List{Method: http.MethodGet, URL: server.URL}.read(t.Context(), func(journal.Effect) error {
		if n++; n == 2 {
			return errors.New("is too many")
		}
		return nil
	})
	require.EqualError(t, err, "item 2 is too many")
}
