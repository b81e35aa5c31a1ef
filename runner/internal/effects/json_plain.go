package effects

import (
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// plain reads an effect at the beginning of a text, and returns the number of its bytes. It reads only objects of
// strings of ASCII without escapes, numbers without exponents, null, true and false, as those of most lists are, in a
// fraction of the time that encoding/json takes. For all else, and for what is not an effect, it returns 0.
func (f Fields) plain(text []byte) (e journal.Effect, n int) {
	if f.group != "" || len(f.key) > 1 || len(f.id) > 1 || len(f.value) > 1 {
		return e, 0
	}
	var key, id, value []byte
	p := plainScan{text: text}
	if !p.take('{') {
		return e, 0
	}
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return e, 0
		}
		field, ok := p.quoted()
		if !ok || !p.take(':') {
			return e, 0
		}
		var to *[]byte
		switch called := string(field); {
		case called == name(f.key, "key"):
			to = &key
		case called == name(f.id, "id"):
			to = &id
		case called == name(f.value, "value"):
			to = &value
		case len(f.key)+len(f.id) == 0 && (strings.EqualFold(called, "key") || strings.EqualFold(called, "id")): // encoding/json takes them
			return e, 0
		}
		content, isText, ok := p.value()
		if !ok || to != nil && !isText {
			return e, 0
		}
		if to != nil {
			*to = content
		}
	}
	e, err := NewEffect(string(key), string(id))
	if err != nil || len(value) > maxNameBytes {
		return e, 0
	}
	e.Value = string(value)
	return e, p.at
}

// plainScan is the text that plain reads.
type plainScan struct {
	text []byte
	at   int
}

// peek returns the next byte that is not white space, or 0 at the end.
func (p *plainScan) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		if c := p.text[p.at]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
	}
	return 0
}

// take takes a byte if it is the next one.
func (p *plainScan) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

// quoted takes a string.
func (p *plainScan) quoted() (content []byte, ok bool) {
	if !p.take('"') {
		return nil, false
	}
	from := p.at
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[from : p.at-1], true
		case c < ' ' || c > '~' || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// value takes a value. isText is false for true and false.
func (p *plainScan) value() (content []byte, isText, ok bool) {
	switch c := p.peek(); {
	case c == '"':
		content, ok = p.quoted()
		return content, true, ok
	case c == '-' || c >= '0' && c <= '9':
		content, ok = p.number()
		return content, true, ok
	}
	for _, word := range []string{"null", "true", "false"} {
		if rest := p.text[p.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			p.at += len(word)
			return nil, word == "null", true
		}
	}
	return nil, false, false
}

// number takes a number.
func (p *plainScan) number() (content []byte, ok bool) {
	from := p.at
	p.take('-')
	whole := p.digits()
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' {
		return nil, false
	}
	if p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		if len(p.digits()) == 0 {
			return nil, false
		}
	}
	return p.text[from:p.at], p.at < len(p.text) && p.text[p.at]|' ' != 'e'
}

func (p *plainScan) digits() []byte {
	from := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.text[from:p.at]
}
