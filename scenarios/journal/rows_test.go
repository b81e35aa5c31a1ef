package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// randomText returns one of the forms that keys, ids and digests have.
func randomText(random *rand.Rand) string {
	return [...]string{
		fmt.Sprintf("a1b2c3-0d4e5f60-%d", random.IntN(1000)), fmt.Sprintf("o-%d", random.Uint64()), fmt.Sprintf("%016x", random.Uint64()),
		fmt.Sprintf("%08x-1111-4222-8333-%012x", random.Uint32(), random.Uint64()>>16), fmt.Sprint(random.IntN(5)), "", "007", "x-00", "Ünï \"quoted\"\n7", `back\slash9`,
		fmt.Sprintf("%c-%d", 'g'+rune(random.IntN(20)), random.IntN(9)), fmt.Sprintf("many-%d-%d", random.IntN(500), random.IntN(9)), "-1", "2147483647", "2147483648", "ABCDEF0123456789",
	}[random.IntN(16)]
}

func randomRequest(random *rand.Rand) Request {
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	r := Request{
		Key: randomText(random), Route: pick("POST /orders", "GET /a?b=<c>&d"), Due: time.Duration(random.Int64N(1e12) - 5), Window: Window(pick("before", "during")),
		Outcome: pick("acknowledged", "refused", "ambiguous"), Digest: randomText(random), Reads: random.IntN(4) == 0,
	}
	for range random.IntN(4) {
		r.Attempts = append(r.Attempts, Attempt{At: r.Due + time.Duration(random.Int64N(1e9)-1000), Took: time.Duration(random.Int64N(1e10)), Status: 200 + random.IntN(3), Error: pick("", "timeout"), Step: random.IntN(2)})
	}
	return r
}

func randomEffect(random *rand.Rand) Effect {
	e := Effect{Key: randomText(random), ID: randomText(random)}
	if random.IntN(8) == 0 {
		e.Group, e.Order, e.Place = randomText(random), randomText(random), random.IntN(9)
	}
	if random.IntN(8) == 0 {
		e.Value = randomText(random)
	}
	return e
}

// TestRowsAreTheValues: rows return the values that were added, also after they were written and read.
func TestRowsAreTheValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var out bytes.Buffer
		w := NewWriter(&out, time.Now())
		w.Write(Event{Run: &Run{Schema: Schema}})
		w.Write(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
		f := NewFolder()
		f.Add(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
		add := func(e Event) uint64 {
			e.Scenario = "s"
			e = w.Write(e)
			f.Add(e)
			return e.Seq
		}
		var requests []Request
		var effects []Effect
		var requestSeqs, effectSeqs []uint64
		for range random.IntN(4) {
			var rows RequestRows
			var effectRows EffectRows
			for range 1 + random.IntN(200) {
				r, e := randomRequest(random), randomEffect(random)
				rows.Add(r)
				effectRows.Add(e)
				requests, effects = append(requests, r), append(effects, e)
			}
			seq := add(Event{RequestRows: &rows})
			require.Equal(t, seq+uint64(rows.Len()), add(Event{Note: &Note{}}), "each row has a number")
			effectSeq := add(Event{EffectRows: &effectRows})
			for i := range rows.Len() {
				requestSeqs, effectSeqs = append(requestSeqs, seq+uint64(i)), append(effectSeqs, effectSeq+uint64(i))
			}
			r, e := randomRequest(random), randomEffect(random) // as in schema 1
			requestSeqs, effectSeqs = append(requestSeqs, add(Event{Request: &r})), append(effectSeqs, add(Event{Effect: &e}))
			requests, effects = append(requests, r), append(effects, e)
		}
		require.NoError(t, w.Err())
		book, err := Fold(&out)
		require.NoError(t, err)
		require.Empty(t, book.Broken)
		for _, h := range []*History{f.Book().Scenarios[0], book.Scenarios[0]} {
			require.Equal(t, len(requests), h.Requests.Len())
			require.Equal(t, len(effects), h.Effects.Len())
			for i, r := range h.Requests.All() {
				require.Equal(t, requests[i], r)
				require.Equal(t, requests[i], h.Requests.At(i))
				seq, known := h.Requests.Seq(i)
				require.True(t, known)
				require.Equal(t, requestSeqs[i], seq)
			}
			for i, e := range h.Effects.All() {
				require.Equal(t, effects[i], e)
				require.Equal(t, effects[i].Key, string(h.Effects.AppendKey(nil, i)))
				seq, _ := h.Effects.Seq(i)
				require.Equal(t, effectSeqs[i], seq)
			}
		}
	}
}

// TestEffectIndex compares the index with a search, for all forms of keys, and for keys that only begin or end as others.
func TestEffectIndex(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 60 {
		var effects EffectRows
		for range random.IntN(50*n + 1) {
			e := randomEffect(random)
			if random.IntN(2) == 0 { // as in schema 1, or in blocks that are not full
				effects.addSingle(e, 1)
			} else {
				effects.Add(e)
			}
		}
		index, all := Index(&effects), map[string][]int{}
		for i, e := range effects.All() {
			all[e.Key] = append(all[e.Key], i)
		}
		for range 200 {
			key := randomText(random)
			require.Equal(t, all[key], append([]int(nil), index.Of([]byte(key))...), key)
			require.Equal(t, append(all[key], -1)[0], index.First([]byte(key)), key)
		}
	}
}

// TestPackedRequests compares requests that are not unpacked with those that are.
func TestPackedRequests(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	h := History{Faults: []*Injection{{Injected: 3e11, Fault: Fault{Ended: 6e11}}}}
	var all []Request
	for range 3000 {
		r := randomRequest(random)
		r.Window = Window([]string{"before", "during", "at healing"}[random.IntN(3)])
		all = append(all, r)
		h.Requests.Add(r)
	}
	for i, p := range Packed(&h.Requests) {
		r := all[i]
		require.Equal(t, r, p.Request())
		require.Equal(t, r.Key, string(p.AppendKey(nil)))
		require.Equal(t, r.Due, p.Due())
		require.Equal(t, h.MetFault(r), p.MetFault(&h))
		require.Equal(t, []any{r.Load, r.Route, r.Window, r.Outcome, r.Reads}, []any{p.Common.Load, p.Common.Route, p.Common.Window, p.Common.Outcome, p.Common.Reads})
		began, ended := p.Span()
		if len(r.Attempts) > 0 {
			last := r.Attempts[len(r.Attempts)-1]
			require.Equal(t, []time.Duration{r.Began(), last.At + last.Took}, []time.Duration{began, ended})
		}
	}
}

// fill sets all fields of a value to something other than zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("text-7")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}

// TestRowsConformance: a field that is added to a request or an effect is in the rows, too.
func TestRowsConformance(t *testing.T) {
	var r Request
	var e Effect
	fill(reflect.ValueOf(&r).Elem())
	fill(reflect.ValueOf(&e).Elem())
	requests, effects := NewRequestRows(r), NewEffectRows(e)
	for range 2 {
		require.Equal(t, []Request{r}, requests.Slice())
		require.Equal(t, []Effect{e}, effects.Slice())
		line, err := json.Marshal(Event{RequestRows: &requests, EffectRows: &effects})
		require.NoError(t, err)
		requests, effects = RequestRows{}, EffectRows{}
		require.NoError(t, json.Unmarshal(line, &Event{RequestRows: &requests, EffectRows: &effects}))
	}
}

// TestRowsFormat shows what the documentation describes.
func TestRowsFormat(t *testing.T) {
	attempt := func(at time.Duration, status int) Attempt { return Attempt{At: at, Took: 5, Status: status} }
	requests := NewRequestRows(
		Request{Key: "k-7", Route: "POST /orders", Due: 100, Outcome: "acknowledged", Digest: "00000000000000ff", Attempts: []Attempt{attempt(102, 201)}},
		Request{Key: "k-8", Route: "POST /orders", Due: 110, Outcome: "acknowledged", Digest: "00000000000000fe", Attempts: []Attempt{attempt(113, 201)}},
		Request{Key: "other", Route: "POST /orders", Due: 120, Outcome: "acknowledged", Attempts: []Attempt{attempt(121, 503), attempt(131, 201)}},
	)
	effects := NewEffectRows(Effect{Key: "k-7", ID: "o-1"}, Effect{Key: "k-8", ID: "5d1e0c5e-0000-4000-8000-0000000000d7"})
	var out strings.Builder
	w := NewWriter(&out, time.Now())
	w.Write(Event{At: 1, Scenario: "s", RequestRows: &requests})
	w.Write(Event{At: 2, Scenario: "s", EffectRows: &effects})
	const like = `"due":0,"window":"","attempts":[`
	require.Equal(t, `{"seq":1,"at":1,"scenario":"s","request_rows":{"like":[`+
		`{"key":"k-","route":"POST /orders",`+like+`{"at":0,"took":0,"status":201}],"outcome":"acknowledged"},`+
		`{"key":"","route":"POST /orders",`+like+`{"at":0,"took":0,"status":503},{"at":0,"took":0,"status":201}],"outcome":"acknowledged"}],`+
		`"rows":[[0,7,100,"00000000000000ff",2,5],[0,8,110,"00000000000000fe",3,5],[1,"other",120,"",1,5,11,5]]}}`+"\n"+
		`{"seq":4,"at":2,"scenario":"s","effect_rows":{"like":[{"key":"k-","id":"o-"},{"key":"k-"}],"rows":[[0,7,1],[1,8,"5d1e0c5e-0000-4000-8000-0000000000d7"]]}}`+"\n", out.String())
}

// TestTornRows: a line of rows that is not complete is not read, and what is before it is.
func TestTornRows(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, time.Now())
	w.Write(Event{Run: &Run{Schema: Schema}})
	w.Write(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
	requests := NewRequestRows(Request{Key: "k-1"}, Request{Key: "k-2"})
	w.Write(Event{Scenario: "s", RequestRows: &requests})
	complete := out.Len()
	w.Write(Event{Scenario: "s", RequestRows: &requests})
	for n := complete + 1; n < out.Len()-1; n++ {
		b, err := Fold(bytes.NewReader(out.Bytes()[:n]))
		require.NoError(t, err)
		require.Contains(t, b.Broken, "line 4: ")
		require.Equal(t, 2, b.Scenarios[0].Requests.Len())
	}
	for name, c := range map[string]struct{ rows, why string }{
		"no such like":  {`[[1,2,3,"",4,5]]`, "row 1: there is no value 1 in like"},
		"too few":       {`[[0,2,3,"",4]]`, `row 1: ']' instead of ','`},
		"too many":      {`[[0,2,3,"",4,5,6]]`, "row 1: too many values"},
		"not a list":    {`{}`, `'{' instead of '['`},
		"a fraction":    {`[[0,2.5,3,"",4,5]]`, "row 1: a whole number is missing"},
		"too large":     {`[[0,2,99999999999999999999,"",4,5]]`, "row 1: a number is too large"},
		"out of range":  {`[[0,-2,3,"",4,5]]`, "row 1: a number is out of range"},
		"digest is one": {`[[0,2,3,4,4,5]]`, `row 1: '4' instead of '"'`},
	} {
		t.Run(name, func(t *testing.T) {
			line := `{"scenario":"s","request_rows":{"like":[{"key":"k-","attempts":[{}]}],"rows":` + c.rows + "}}\n"
			b, err := Fold(strings.NewReader(out.String()[:complete] + line))
			require.NoError(t, err)
			require.Equal(t, "line 4: "+c.why, b.Broken)
		})
	}
}

// TestRowsHideSecrets: a secret is hidden even if its end is the number of a row.
func TestRowsHideSecrets(t *testing.T) {
	requests := NewRequestRows(Request{Key: "token=9137"}, Request{Key: "k-9137"}, Request{Key: "k-8"})
	effects := NewEffectRows(Effect{Key: "k-8", ID: "id-9137"}, Effect{Key: "Bearer x9137"}, Effect{Key: "k-8", ID: "id-2", Group: "g-9137"})
	for _, hidden := range []string{"9137", "-9137", "k-9137"} {
		var out strings.Builder
		w := NewWriter(&out, time.Now())
		w.Hide(hidden)
		e := w.Write(Event{RequestRows: &requests})
		w.Write(Event{EffectRows: &effects})
		require.Equal(t, "k-9137", e.RequestRows.At(1).Key, "the event that checks see is not redacted")
		require.NotContains(t, out.String(), "token=9137")
		if hidden == "9137" {
			require.NotContains(t, out.String(), "9137")
		}
		f := NewFolder()
		f.Add(Event{Scenario: "s", Begin: &Begin{}})
		for line := range strings.Lines(out.String()) {
			e, err := decode([]byte(line))
			require.NoError(t, err)
			e.Scenario = "s"
			f.byID["s"] = f.book.Scenarios[0]
			f.Add(e)
		}
		h := f.book.Scenarios[0]
		require.Equal(t, "token=***", h.Requests.At(0).Key)
		require.Equal(t, map[string]string{"9137": "k-***", "-9137": "k***", "k-9137": "***"}[hidden], h.Requests.At(1).Key)
		require.Equal(t, "k-8", h.Requests.At(2).Key)
		require.NotContains(t, fmt.Sprint(w.Redact(Event{EffectRows: &effects}).EffectRows.Slice()), "x9137")
	}
}
