package reports

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// void matches elements that have no end tag, or whose end tag is left out; see lighten.
var void = regexp.MustCompile(`^(meta|br|hr|img|link|input|td|th|tr|li|dt|dd|thead|tbody)$`)

func TestLighten(t *testing.T) {
	for page, want := range map[string]string{
		`<p title="a &#34;b&#34; &gt;">it&#39;s &#34;so&#34; &#43;1 &gt; &lt;b&gt; &amp;gt;</p>`:                   `<p title="a &#34;b&#34; &gt;">it's "so" +1 > &lt;b> &amp;gt;</p>`,
		`<tr><td>a</td><td>b</td></tr><li>c</li>d`:                                                                 `<tr><td>a<td>b<li>cd`,
		`<thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody>`:                                     `<thead><tr><th>a<tbody><tr><td>b`,
		`<svg width="9" class="a b"><path d="M1 2" fill="#123"/><g id="g1" title="&#34;"></g></svg><b id="c"></b>`: `<svg width=9 class="a b"><path d="M1 2" fill=#123 /><g id=g1 title="&#34;"></g></svg><b id="c"></b>`,
		`a < b`: `a < b`, "": "",
	} {
		got := lighten(page)
		assert.Equal(t, want, got)
		before, err := html.Parse(strings.NewReader("<table>" + page))
		require.NoError(t, err)
		after, err := html.Parse(strings.NewReader("<table>" + got))
		require.NoError(t, err)
		if !strings.Contains(page, "<li>") {
			assert.Equal(t, tree(before), tree(after), "it means the same")
		}
	}
}

// tree describes a parsed page.
func tree(n *html.Node) string {
	text := n.Data
	for _, a := range n.Attr {
		text += " " + a.Key + "=" + a.Val
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		text += "(" + tree(c) + ")"
	}
	return text
}

// TestPageIsWellFormed verifies that elements are balanced, ids are unique, links have targets, and nothing is
// loaded from other servers.
func TestPageIsWellFormed(t *testing.T) {
	for name, b := range samples(t) {
		page := render(t, writeHTML, b)
		ids, links, open := map[string]bool{}, []string{}, []string{}
		scan := html.NewTokenizer(bytes.NewReader(page))
		for kind := scan.Next(); kind != html.ErrorToken; kind = scan.Next() {
			token := scan.Token()
			switch kind {
			case html.StartTagToken:
				if !void.MatchString(token.Data) {
					open = append(open, token.Data)
				}
				for _, a := range token.Attr {
					switch a.Key {
					case "id":
						assert.False(t, ids[a.Val], "%s: id %q twice", name, a.Val)
						ids[a.Val] = true
					case "href":
						links = append(links, a.Val)
					case "src":
						assert.Fail(t, "nothing is loaded", a.Val)
					}
				}
			case html.EndTagToken:
				require.NotEmpty(t, open)
				require.Equal(t, open[len(open)-1], token.Data, name)
				open = open[:len(open)-1]
			}
		}
		assert.Empty(t, open)
		for _, l := range links {
			require.True(t, strings.HasPrefix(l, "#"), l)
			assert.True(t, ids[l[1:]], "%s: %q leads nowhere", name, l)
		}
		assert.Contains(t, string(page), "default-src 'none'")
	}
}

// TestLongWordsWrap: names without spaces can have any length. The effect on the width is visible only in a
// browser, so the test looks for the style rules.
func TestLongWordsWrap(t *testing.T) {
	page := string(render(t, writeHTML, samples(t)["failed"]))
	assert.Regexp(t, `(?m)^body \{[^}]*overflow-wrap:anywhere`, page)
	assert.NotContains(t, page, "grid-template-columns: 1fr", "a track of 1fr is as wide as its longest word")
	tables := strings.Count(page, "<table")
	assert.Positive(t, tables)
	assert.Equal(t, tables, len(regexp.MustCompile(`<div class="(card )?wide" tabindex="0"><table`).FindAllString(page, -1)), "each table scrolls in a container of its own")
}

func TestPageSizeLimit(t *testing.T) {
	tp := newRecording()
	for i := range 10 {
		tp.scenario(sampleRun{name: string(rune('a' + i)), outcome: "failed"})
	}
	tp.end("failed")
	page := render(t, writeHTML, tp.book(t))
	t.Logf("%d KB", len(page)>>10)
	assert.Less(t, len(page), 2<<20)
}

// TestManyScenariosOfOneCauseAreFolded: a card shows three of them, and the others when they are asked for.
func TestManyScenariosOfOneCauseAreFolded(t *testing.T) {
	page := string(render(t, writeHTML, mixed(t)))
	why := page[strings.Index(page, `<h2 id="why">`):strings.Index(page, `<h2 id="scenarios">`)]
	at := strings.Index(why, "<summary>1 more scenario with the same cause</summary>")
	require.Positive(t, at)
	assert.Less(t, strings.Index(why, "row 6</strong>"), at)
	assert.Greater(t, strings.Index(why, "row 9</strong>"), at)
}

// TestListCountsWhatWasNotRun: the number beside the filter is that of the rows.
func TestListCountsWhatWasNotRun(t *testing.T) {
	b := mixed(t)
	require.Len(t, b.NotRun(), 1)
	page := string(render(t, writeHTML, b))
	assert.Contains(t, page, "checked>all 13</label>")
	assert.Equal(t, 13, strings.Count(page, "<tr class=\"s-"))
}
