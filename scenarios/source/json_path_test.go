package source

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestJSONPaths(t *testing.T) {
	const document = ` {"id": 7, "order": {"items": [{"id": "a"}, {"id": null}], "tax.rate": 20}, "none": null} `
	for path, want := range map[string]string{
		"id": "7", "$.id": "7", "$.order.items[0].id": `"a"`, "order.items[1].id": "null", "none": "null", "$": `{"id": 7, "order": {"items": [{"id": "a"}, {"id": null}], "tax.rate": 20}, "none": null}`,
		"order.items[2].id": "", "order.items.id": "", "id.x": "", "none.x": "", "other": "", "$[0]": "",
	} {
		p, err := ParseJSONPath(path)
		require.NoError(t, err, path)
		got, err := p.Find([]byte(document))
		require.NoError(t, err, path)
		assert.Equal(t, want, string(got), path)
	}
	for _, path := range []string{"", ".", "$.", "$id", "$..id", "a..b", "a[", "a[x]", "a[-1]", "a b", "a."} {
		_, err := ParseJSONPath(path)
		require.Error(t, err, path)
	}
	for path, documents := range map[string][]string{"a": {`{"a": 1`, `[1`, `hello`, ``}, "$": {`{"a": 1`, ``}} {
		p, err := ParseJSONPath(path)
		require.NoError(t, err)
		for _, document := range documents {
			_, err = p.Find([]byte(document))
			require.Error(t, err, "%q is not JSON", document)
		}
	}
}

func TestMarks(t *testing.T) {
	for text, inBody := range map[string]bool{"x-degraded: true": false, "tax.estimated: true": true} {
		m, err := ParseMark(text, inBody)
		require.NoError(t, err)
		again, err := ParseMark(m.String(), inBody)
		require.NoError(t, err)
		assert.Equal(t, m, again)
	}
	for _, text := range []string{"tax", "tax:", ": true", "a b: true", "a..b: true", ""} {
		_, err := ParseMark(text, true)
		require.Error(t, err, text)
	}
}
