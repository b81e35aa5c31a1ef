package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/stretchr/testify/assert"
	"golang.org/x/net/html"
)

const payload = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}&amp;\x1b]0;owned\x07\x1b[31m\u009b31m\u202e\x00]]>"

// poison sets every reachable string to the payload.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		switch rows := v.Addr().Interface().(type) {
		case *time.Time:
			return
		case *journal.RequestRows:
			all := rows.Slice()
			poison(reflect.ValueOf(all))
			*rows = journal.NewRequestRows(all...)
			return
		case *journal.EffectRows:
			all := rows.Slice()
			poison(reflect.ValueOf(all))
			*rows = journal.NewEffectRows(all...)
			return
		}
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; name {
			case "Outcome", "Window", "Unit": // values of a fixed set, which control what is shown
			default:
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		if m, ok := v.Interface().(map[string]int); ok && m != nil {
			m[payload] = 7
		}
	case reflect.String:
		v.SetString(v.String() + payload)
	}
}

func TestNothingFromTheJournalIsMarkup(t *testing.T) {
	for name, b := range samples(t) {
		poison(reflect.ValueOf(b))
		page := render(t, writeHTML, b)
		assert.Contains(t, string(page), "alert(1)", "the payload is there, as text")
		script := pageFile("script.js")
		assert.Equal(t, 1, strings.Count(string(page), "<script>"+script+"</script>"), "the script is unchanged, so that its digest fits")
		assert.Contains(t, string(page), "'sha256-"+strings.ReplaceAll(scriptDigest(), "+", "&#43;")+"'")
		page = bytes.Replace(page, []byte("<script>"+script+"</script>"), nil, 1)
		scan := html.NewTokenizer(bytes.NewReader(page))
		for kind := scan.Next(); kind != html.ErrorToken; kind = scan.Next() {
			token := scan.Token()
			if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
				assert.NotContains(t, []string{"script", "img"}, token.Data, name)
				for _, a := range token.Attr {
					assert.False(t, strings.HasPrefix(a.Key, "on"), "%s: %v", name, token)
				}
			}
		}
		assert.ErrorIs(t, scan.Err(), io.EOF)
		text := string(render(t, writeText, b))
		assert.Contains(t, text, "alert(1)")
		assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", text, name)
		var all suites
		assert.NoError(t, xml.Unmarshal(render(t, writeJUnit, b), &all), name)
		assert.True(t, json.Valid(render(t, writeJSON, b)), name)
	}
}
