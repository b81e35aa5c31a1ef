package journal

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain – ✓ ⚡ é 日本":       "plain – ✓ ⚡ é 日本",
		"two\nlines\ttab":        "two\nlines\ttab",
		"\x1b]0;own\x07\x1b[2J":  `\x1b]0;own\x07\x1b[2J`,
		"\x7f\r\x00":             `\x7f\x0d\x00`,
		"\u009b31m\u0085":        `\x9b31m\x85`,
		"\x9b31m":                `\x9b31m`, // not UTF-8: a terminal in 8-bit mode interprets it
		"a\u202eb\u2066c\u200fd": `a\u202eb\u2066c\u200fd`,
		"\u061c\u200b\ufeff":     `\u061c\u200b\ufeff`,
		"\u2028\u2029":           `\u2028\u2029`,
		"\U000e0041":             `\U000e0041`,
		"\ufffe\ufffd":           `\ufffe\ufffd`,
	} {
		assert.Equal(t, want, Visible(text))
	}
}

func TestVisibleJSONKeepsItsMeaning(t *testing.T) {
	t.Parallel()
	text := "\x1b \u009b \u202e \U000e0041 \x7f ✓"
	raw, err := json.Marshal(text)
	require.NoError(t, err)
	visible := VisibleJSON(string(raw))
	assert.NotContains(t, visible, "\u202e")
	var back string
	require.NoError(t, json.Unmarshal([]byte(visible), &back))
	assert.Equal(t, text, back)
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range Visible(text) {
			if invisible(r) {
				t.Fatalf("%q is left in %q", r, text)
			}
		}
	})
}

// A shell reads each word as it was.
func TestShellWord(t *testing.T) {
	words := []string{"--seed=3", "", "a b", "it's", "$(touch x)", "^Test(A|B)$", "~", "a\nb", "é", "--tags=@row-7"}
	command := "printf '%s\\0'"
	for _, word := range words {
		command += " " + ShellWord(word)
	}
	out, err := exec.Command("sh", "-c", command).Output() //nolint:gosec // it is what is tested
	require.NoError(t, err)
	assert.Equal(t, strings.Join(words, "\x00")+"\x00", string(out))
	assert.Equal(t, "--tags=@row-7", ShellWord("--tags=@row-7"), "not quoted without need")
}
