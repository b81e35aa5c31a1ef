package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// mask replaces a secret.
const mask = "***"

// secretStem matches the part that the names of secrets have in common.
const secretStem = `(?i:passw(?:or)?d|passphrase|passcode|pwd|token|secret|(?:api|access|account|auth|encryption|private|signing|shared)[_-]?key|jwt|credential|cookie|signature)`

// secretName matches the name of something that holds a secret. "pass" matches only at the end of a name, as in
// requirepass and DB_PASS.
const secretName = `(?:[\w.-]*` + secretStem + `[\w.-]*|[\w.-]*(?i:pass))`

// secretWord is secretName without points, so that it does not match file names.
const secretWord = `(?:[\w-]*` + secretStem + `[\w-]*|[\w-]*(?i:pass))`

// secretValue matches a value: quoted, or up to the next separator. It does not match templates.
const secretValue = `(?:\\?"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'&,;}{][^\s"'&,;}]*)`

var secretVariable = regexp.MustCompile(`^` + secretName + `$`)

// NamesSecret reports whether an environment variable is named like one that holds a secret, such as DB_PASSWORD. PWD is a
// folder.
func NamesSecret(variable string) bool {
	return secretVariable.MatchString(variable) && variable != "PWD" && variable != "OLDPWD"
}

var secrets = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	// postgres://app:x@db, https://x@host
	{regexp.MustCompile(`(://[^\s"'/?#@:]*):[^\s"'/]*@`), "$1:" + mask + "@"},
	{regexp.MustCompile(`(://[^\s"'/?#@:]*):[^\s"'/]*[^\s"'/\d][^\s"'/]*/[^\s"']*@`), "$1:" + mask + "@"}, // with a slash in it
	{regexp.MustCompile(`(://[^\s"'<>?]+\?)[^\s"'<>=&#{}]+([\s"'<>]|$)`), "$1" + mask + "$2"},             // https://host/?x
	{regexp.MustCompile(`://[^\s"'/?#@:]+@`), "://" + mask + "@"},
	// app:x@tcp(db:3306), as in MySQL drivers
	{regexp.MustCompile(`(^|[\s"'=,])([\w.-]+):[^\s"'/@:]+@([\w\[(])`), "$1$2:" + mask + "@$3"},
	// Authorization: Basic x, Bearer x
	{regexp.MustCompile(`((?i:authorization)["']?\s*[:=]\s*["']?)[^"'\s][^"'\n]*`), "$1" + mask},
	{regexp.MustCompile(`\b((?i:bearer)\s+)[\w.~+/=-]+`), "$1" + mask},
	{regexp.MustCompile(`\b((?i:basic|token)\s+)[\w+/-]*[\d+/=][\w+/=-]*`), "$1" + mask},
	{regexp.MustCompile(`\beyJ[\w-]+\.[\w.-]+`), mask}, // a JSON Web Token
	{regexp.MustCompile(`(-----BEGIN [\w ]*PRIVATE KEY-----)(?s:.*?)(-----END|$)`), "$1" + mask + "$2"},
	// Cookie: a=x; b=x
	{regexp.MustCompile(`((?i:cookie)["']?\s*:\s*["']?)[^"'\s][^"'\n]*`), "$1" + mask},
	// with header "Tenant: x": the value that selects calls
	{regexp.MustCompile(`((?:with|and) header \\?"[^":\\]+:\s*)(?:[^"\\]|\\.)*(\\?")`), "$1" + mask + "$2"},
	// --password x, --user app:x
	{regexp.MustCompile(`((?:^|\s)--?` + secretName + `\s+)(?:"[^"]*"|'[^']*'|-?[^\s"'-]\S*)`), "$1" + mask},
	{regexp.MustCompile(`((?:^|\s)(?:-u|--user|--auth)\s+[^\s:]+):\S+`), "$1:" + mask},
	// password=x, password: x
	{regexp.MustCompile(`(\b` + secretName + `\s*(?:=\s*|:\s+))` + secretValue), "$1" + mask},
	// "token": "x", as in JSON; not a service called "token" that is followed by a colon
	{regexp.MustCompile(`(\\?["']` + secretName + `\\?["']\s*[:=]\s*)(?:\\?"(?:[^"\\]|\\.)*"|'[^']*'|\d[\w.]*)`), "$1" + mask},
	// Token:x, but not token:8080 and token.feature:12
	{regexp.MustCompile(`((?:^|[\s"'({\[,;])` + secretWord + `:)(?:"[^"]*"|'[^']*'|\d*[^\s\d"'&,;:}{][^\s"'&,;}]*)`), "$1" + mask},
}

var (
	// query matches the query of a path or a URL; parameter matches the value of one parameter.
	query     = regexp.MustCompile(`\?[^\s"'<>?#=]+=[^\s"'<>#]*`)
	parameter = regexp.MustCompile(`=(?:[^&]*)`)
	template  = regexp.MustCompile(`^=\{\{\w+\}\}$`)
)

// RedactText returns text with possible secrets replaced: passwords in URLs and data source names, values of
// anything that is named as a secret, credentials after "Authorization" and "Bearer", header values that select
// calls, and the values of queries except for templates such as {{n}}. Names and structure are kept, and equal
// texts remain equal.
func RedactText(text string) string {
	if !mayHoldSecret(text) {
		return text
	}
	if strings.Contains(text, "?") {
		text = query.ReplaceAllStringFunc(text, func(q string) string {
			return parameter.ReplaceAllStringFunc(q, func(value string) string {
				if template.MatchString(value) || value == "=" {
					return value
				}
				return "=" + mask
			})
		})
	}
	for _, s := range secrets {
		text = s.pattern.ReplaceAllString(text, s.replacement)
	}
	return text
}

// mayHoldSecret reports whether a text has a character or word that every pattern needs. Most texts have none, and
// this is much cheaper than the patterns.
func mayHoldSecret[T string | []byte](text T) bool {
	for i := range len(text) {
		switch text[i] {
		case '@', '=', ':':
			return true
		case '-':
			if i == 0 || text[i-1] == ' ' {
				return true
			}
		case 'r', 'R':
			if hasSuffixFold(text[:i+1], "bearer") {
				return true
			}
		case 'c', 'C':
			if hasSuffixFold(text[:i+1], "basic") {
				return true
			}
		case 'n', 'N':
			if hasSuffixFold(text[:i+1], "token") {
				return true
			}
		case 'J':
			if hasSuffixFold(text[:i+1], "eyJ") {
				return true
			}
		}
	}
	return false
}

// hasSuffixFold reports whether a text ends with a word, ignoring case.
func hasSuffixFold[T string | []byte](text T, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(string(text[len(text)-len(word):]), word)
}

// Redact returns the event with possible secrets replaced, as Write writes it.
func (w *Writer) Redact(e Event) Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	e = w.redact.rows(e)
	line, err := encode(e)
	if err != nil {
		return e
	}
	redacted := w.redact.document(line)
	var shown Event
	if bytes.Equal(line, redacted) || json.Unmarshal(redacted, &shown) != nil {
		return e
	}
	return shown
}

// rows returns the event with the texts of its rows redacted that document would not see whole.
func (r *redactor) rows(e Event) Event {
	if e.RequestRows != nil {
		e.RequestRows = e.RequestRows.redacted(r)
	}
	if e.EffectRows != nil {
		e.EffectRows = e.EffectRows.redacted(r)
	}
	return e
}

// alters reports whether text replaces something in a text.
func (r *redactor) alters(text []byte) bool {
	for _, v := range r.hidden {
		if bytes.Contains(text, []byte(v)) {
			return true
		}
	}
	return mayHoldSecret(text) && r.text(string(text), false) != string(text)
}

// encode encodes a value as a line of JSON.
func encode(v any) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line) // Encode appends a line feed
	enc.SetEscapeHTML(false)      // keep "orders -> payments" searchable
	err := enc.Encode(v)
	return line.Bytes(), err
}

var secretFlag = regexp.MustCompile(`^--?` + secretName + `$`)

// redactor redacts JSON documents. It caches some texts, since the same routes and sentences occur again and
// again.
type redactor struct {
	known  map[string]string
	flag   bool   // the previous string was a flag whose value is a secret
	hidden Hidden // see Writer.Hide
}

// Hidden are values that are redacted wherever they occur in a text, in all forms in which they are.
type Hidden []string

// Hide returns values to redact, also escaped as in a URL or a string of JSON. Short values should not be hidden in long
// texts: they also occur by chance.
func Hide(values ...string) Hidden {
	var all Hidden
	for _, v := range values {
		quoted, _ := json.Marshal(v) // a string always encodes
		query := url.QueryEscape(v)
		all = append(all, v, strings.Trim(string(quoted), `"`), query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(v))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // one may contain another
	return slices.DeleteFunc(slices.Compact(all), func(form string) bool { return form == "" })
}

// Redact returns text with the values redacted.
func (h Hidden) Redact(text string) string {
	for _, v := range h {
		text = strings.ReplaceAll(text, v, mask)
	}
	return text
}

// Hide makes the writer redact values as Hidden does. The names of fields are not changed. It must be called before events
// are written.
func (w *Writer) Hide(values ...string) { w.redact.hidden = Hide(values...) }

// RedactText is RedactText that also redacts the values that Hide received.
func (w *Writer) RedactText(text string) string {
	return RedactText(w.redact.hidden.Redact(text))
}

// Hidden returns the values that Hide received.
func (w *Writer) Hidden() Hidden { return w.redact.hidden }

// maxKnown is the number of texts that a redactor caches.
const maxKnown = 256

// document redacts each string of a JSON document. The string after a flag such as "--password" in a list of
// arguments is a secret, too.
func (r *redactor) document(document []byte) []byte {
	var out bytes.Buffer
	r.flag = false
	for len(document) > 0 {
		start := bytes.IndexByte(document, '"')
		if start < 0 {
			break
		}
		end := start + 1
		for document[end] != '"' {
			if document[end] == '\\' {
				end++
			}
			end++
		}
		literal := document[start : end+1]
		out.Write(document[:start])
		document = document[end+1:]
		out.Write(r.literal(literal, bytes.HasPrefix(document, []byte(":"))))
	}
	out.Write(document)
	return out.Bytes()
}

// literal redacts one string, which may be the name of a field.
func (r *redactor) literal(literal []byte, name bool) []byte {
	follows := r.flag
	r.flag = false
	if !follows && (name || len(r.hidden) == 0) && !mayHoldSecret(literal[1:len(literal)-1]) {
		return literal
	}
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return literal
	}
	r.flag = strings.HasPrefix(text, "-") && secretFlag.MatchString(text)
	redacted := r.text(text, name)
	if follows && !r.flag {
		redacted = mask
	}
	if redacted == text {
		return literal
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(redacted) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (r *redactor) text(text string, name bool) string {
	if !name {
		if hidden := r.hidden.Redact(text); hidden != text {
			return RedactText(hidden)
		}
	}
	if redacted, ok := r.known[text]; ok {
		return redacted
	}
	redacted := RedactText(text)
	if r.known == nil || len(r.known) >= maxKnown {
		r.known = map[string]string{}
	}
	r.known[text] = redacted
	return redacted
}
