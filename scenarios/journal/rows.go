package journal

import (
	"encoding/json"
	"iter"
	"sort"
	"strconv"
	"time"
)

// rows holds many values of a kind in a compact form, in blocks. The zero value is empty. A copy shares the blocks:
// only one of them may be added to.
type rows[T any] struct{ parts []part[T] }

// part is a block with its place among the rows.
type part[T any] struct {
	block[T]
	start int      // index of the first row
	seq   uint64   // Event.Seq of the first row, after which those of the others follow; 0 if it is not known
	seqs  []uint64 // Event.Seq of each row, if they were single events
}

// block holds up to maxBlock rows, or those of one event. What many of them have in common is stored once.
type block[T any] interface {
	size() int
	at(i int) T
	add(T)
}

// maxBlock is the number of rows of a block.
const maxBlock = 1000

// Len returns the number of rows.
func (r *rows[T]) Len() int {
	if n := len(r.parts); n > 0 {
		return r.parts[n-1].start + r.parts[n-1].size()
	}
	return 0
}

// part returns the part that holds row i, which must exist, and the index of the row in it.
func (r *rows[T]) part(i int) (p part[T], at int) {
	p = r.parts[sort.Search(len(r.parts), func(k int) bool { return r.parts[k].start > i })-1]
	return p, i - p.start
}

// Full reports whether an event cannot hold more rows.
func (r *rows[T]) Full() bool { return len(r.parts) > 0 && r.parts[0].size() >= maxBlock }

// At returns row i.
func (r *rows[T]) At(i int) T {
	p, at := r.part(i)
	return p.at(at)
}

// Seq returns Event.Seq of row i, if it is known.
func (r *rows[T]) Seq(i int) (seq uint64, known bool) {
	p, at := r.part(i)
	switch {
	case at < len(p.seqs):
		return p.seqs[at], true
	case p.seq == 0:
		return 0, false
	}
	return p.seq + uint64(at), true //nolint:gosec // an index
}

// All returns an iterator over the rows, with their index.
func (r *rows[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for _, p := range r.parts {
			for i := range p.size() {
				if !yield(p.start+i, p.at(i)) {
					return
				}
			}
		}
	}
}

// Slice returns the rows as plain values. For many rows, All needs much less memory.
func (r *rows[T]) Slice() []T {
	all := make([]T, 0, r.Len())
	for _, one := range r.All() {
		all = append(all, one)
	}
	return all
}

// room returns the last part if it can hold a further row whose event is single or not, or else a new part.
func (r *rows[T]) room(single bool, empty func() block[T]) *part[T] {
	n := len(r.parts)
	if n == 0 || r.parts[n-1].size() >= maxBlock || r.parts[n-1].seq != 0 || (len(r.parts[n-1].seqs) > 0) != single {
		r.parts = append(r.parts, part[T]{block: empty(), start: r.Len()})
		n++
	}
	return &r.parts[n-1]
}

// blocks returns an iterator over the blocks, each as rows of its own.
func (r *rows[T]) blocks() iter.Seq[rows[T]] {
	return func(yield func(rows[T]) bool) {
		for _, p := range r.parts {
			if !yield(rows[T]{[]part[T]{{block: p.block}}}) {
				return
			}
		}
	}
}

// addEvent adds the rows of an event.
func (r *rows[T]) addEvent(more rows[T], seq uint64) {
	for _, p := range more.parts {
		if p.size() == 0 {
			continue
		}
		start := r.Len()
		r.parts = append(r.parts, part[T]{block: p.block, start: start, seq: seq})
		seq += uint64(p.size()) //nolint:gosec // a length
	}
}

// texts holds texts one after another.
type texts struct {
	bytes []byte
	ends  []uint32
}

// add adds a text and returns its index.
func addText[S string | []byte](t *texts, text S) uint32 {
	t.bytes = append(t.bytes, text...)
	t.ends = append(t.ends, uint32(len(t.bytes))) //nolint:gosec // a block is far smaller
	return uint32(len(t.ends) - 1)                //nolint:gosec // an index
}

func (t *texts) at(i uint32) []byte {
	from := uint32(0)
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.bytes[from:t.ends[i]]
}

// maxCommon limits how many texts of a block are the beginning of others. Further texts are kept whole.
const maxCommon = 64

// splitNumber splits a text into what others may have in common with it, and the number at its end. It returns false
// if there is no such number, or if it may be the end of a hexadecimal one, such as that of a UUID.
func splitNumber(text string) (common string, n field, ok bool) {
	at := len(text)
	for at > 0 && text[at-1] >= '0' && text[at-1] <= '9' {
		at--
	}
	digits := text[at:]
	if digits == "" || len(digits) > 1 && digits[0] == '0' || at > 0 && text[at-1] >= 'a' && text[at-1] <= 'f' {
		return text, 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 31)
	return text[:at], field(number), err == nil //nolint:gosec // 31 bits
}

// field is a text of a row: the number at the end of a text whose beginning others have in common or, with the bit
// wholeText, the index of a whole text.
type field uint32

const wholeText field = 1 << 31

// whole reports whether the field is a whole text.
func (f field) whole() bool { return f&wholeText != 0 }

// wholeField adds a text and returns its field.
func wholeField[S string | []byte](whole *texts, text S) field {
	return field(addText(whole, text)) | wholeText
}

// appendText appends the text of a field.
func (f field) appendText(to []byte, common string, whole *texts) []byte {
	if f.whole() {
		return append(to, whole.at(uint32(f&^wholeText))...)
	}
	return strconv.AppendUint(append(to, common...), uint64(f), 10)
}

// appendJSON appends a field as rows in the journal have it: the number, or the whole text.
func (f field) appendJSON(to []byte, whole *texts) []byte {
	if f.whole() {
		return appendQuoted(to, whole.at(uint32(f&^wholeText)))
	}
	return strconv.AppendUint(to, uint64(f), 10)
}

// appendQuoted appends a text as a string of JSON.
func appendQuoted(to, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(string(text)) // a string always encodes
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}

func appendDuration(to []byte, d time.Duration) []byte {
	return strconv.AppendInt(append(to, ','), int64(d), 10)
}
