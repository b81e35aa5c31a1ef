package scenarios

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An id is derived from the names of a scenario and nothing else. Therefore adding a row, a scenario or a file does not
// change the id, the seed, the folder or the test name of another scenario.

// ID returns the id of a scenario, or of the row of an outline with these cells.
func ID(feature, name string, cells []string) string {
	id := slug(feature + " " + name)
	if cells != nil || lossy(feature) || lossy(name) {
		h := fnv.New32a()
		for _, part := range append([]string{feature, name}, cells...) {
			_, _ = h.Write([]byte(part + "\x00"))
		}
		id = strings.TrimPrefix(fmt.Sprintf("%s-%08x", id, h.Sum32()), "-")
	}
	return id
}

// lossy reports whether a name has significant characters that slug drops: letters that are not ASCII, and signs
// such as < and %.
func lossy(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return r >= utf8.RuneSelf && !unicode.IsPunct(r) || strings.ContainsRune("<>=%+*/&@#$^~|", r)
	})
}

// longestSlug limits the length of file names: systems allow 255 bytes, and a suffix may be added.
const longestSlug = 160

// slug returns a name for files and addresses, of lower-case letters, digits and dashes. If it is too long, it is
// truncated and ends with a hash.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9'):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	text := strings.TrimSuffix(b.String(), "-")
	if len(text) > longestSlug {
		h := fnv.New32a()
		_, _ = h.Write([]byte(text))
		text = fmt.Sprintf("%s-%08x", text[:longestSlug-9], h.Sum32())
	}
	return text
}
