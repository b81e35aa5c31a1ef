package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"sort"
	"strconv"
	"time"
)

// Rows holds many values of a kind in compact form, in blocks. The zero value is empty. It is not safe for concurrent
// use, except that several goroutines may read it. A copy shares the blocks: only one of them may be added to.
//
// In the journal it is an object. Its field "like" lists values with the common parts of their texts, and without what
// differs otherwise. Each of its "rows" is a list, which begins with the index of the value in "like" that it equals
// otherwise. A text in it is the number that follows the common part; a string is the whole text. Events are numbered
// as if each row was one: the first row has the number of the event.
type Rows[T any, B block[T, B]] struct{ parts []part[T, B] }

// part is a block with its place among the rows.
type part[T any, B block[T, B]] struct {
	block B
	start int      // index of the first row
	seq   uint64   // Event.Seq of the first row, after which those of the others follow; 0 if it is not known
	seqs  []uint64 // Event.Seq of each row, if they were single events
}

// block holds up to maxBlock rows, or those of one event. What many of them have in common is stored once.
type block[T, B any] interface {
	empty(like []T, rows int) B // returns a block with the given like and room for rows; the receiver is nil
	common() []T                // returns like
	size() int
	at(i int) T
	add(one T)
	appendKey(to []byte, i int) []byte
	appendRow(to []byte, i int) []byte             // appends the values of a row, from the index of its like on
	parseRow(p *rowParser, like uint16)            // adds a row; the index of its like has been read
	split(i int, see func(f field, common string)) // calls see for each text of row i
	texts(one *T) []*string                        // the texts of a value, as in split
}

// maxBlock is the number of rows of a block.
const maxBlock = 1000

// Len returns the number of rows.
func (r *Rows[T, B]) Len() int {
	if n := len(r.parts); n > 0 {
		return r.parts[n-1].start + r.parts[n-1].block.size()
	}
	return 0
}

// part returns the part that holds row i, which must exist, and the index of the row in it.
func (r *Rows[T, B]) part(i int) (p *part[T, B], at int) {
	k := i / maxBlock // if all parts before are full
	if k >= len(r.parts) || r.parts[k].start > i || k+1 < len(r.parts) && r.parts[k+1].start <= i {
		k = sort.Search(len(r.parts), func(k int) bool { return r.parts[k].start > i }) - 1
	}
	return &r.parts[k], i - r.parts[k].start
}

// Full reports whether an event cannot hold more rows.
func (r *Rows[T, B]) Full() bool { return len(r.parts) > 0 && r.parts[0].block.size() >= maxBlock }

// At returns row i.
func (r *Rows[T, B]) At(i int) T {
	p, at := r.part(i)
	return p.block.at(at)
}

// AppendKey appends the key of row i. It is At without the cost of the other fields.
func (r *Rows[T, B]) AppendKey(to []byte, i int) []byte {
	p, at := r.part(i)
	return p.block.appendKey(to, at)
}

// Seq returns Event.Seq of row i, if it is known.
func (r *Rows[T, B]) Seq(i int) (seq uint64, known bool) {
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
func (r *Rows[T, B]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for _, p := range r.parts {
			for i := range p.block.size() {
				if !yield(p.start+i, p.block.at(i)) {
					return
				}
			}
		}
	}
}

// Slice returns the rows as plain values. For many rows, All needs much less memory.
func (r *Rows[T, B]) Slice() []T {
	all := make([]T, 0, r.Len())
	for _, one := range r.All() {
		all = append(all, one)
	}
	return all
}

// Events returns an iterator over the rows, as many at a time as an event holds.
func (r *Rows[T, B]) Events() iter.Seq[*Rows[T, B]] {
	return func(yield func(*Rows[T, B]) bool) {
		for _, p := range r.parts {
			if !yield(rowsOf[T](p.block)) {
				return
			}
		}
	}
}

// rowsOf returns the rows of a block.
func rowsOf[T any, B block[T, B]](b B) *Rows[T, B] { return &Rows[T, B]{[]part[T, B]{{block: b}}} }

// Add adds values.
func (r *Rows[T, B]) Add(all ...T) {
	for _, one := range all {
		r.room(false).block.add(one)
	}
}

// addSingle adds the value of an event that holds no other.
func (r *Rows[T, B]) addSingle(one T, seq uint64) {
	p := r.room(true)
	p.block.add(one)
	p.seqs = append(p.seqs, seq)
}

// room returns the last part if it can hold a further row whose event is single or not, or else a new part.
func (r *Rows[T, B]) room(single bool) *part[T, B] {
	n := len(r.parts)
	if n == 0 || r.parts[n-1].block.size() >= maxBlock || r.parts[n-1].seq != 0 || (len(r.parts[n-1].seqs) > 0) != single {
		var none B
		size := 0
		if n > 0 { // there are many rows
			size = maxBlock
		}
		r.parts = append(r.parts, part[T, B]{block: none.empty(nil, size), start: r.Len()})
		n++
	}
	return &r.parts[n-1]
}

// addEvent adds the rows of an event.
func (r *Rows[T, B]) addEvent(more *Rows[T, B], seq uint64) {
	for _, p := range more.parts {
		if p.block.size() == 0 {
			continue
		}
		r.parts = append(r.parts, part[T, B]{block: p.block, start: r.Len(), seq: seq})
		seq += uint64(p.block.size()) //nolint:gosec // a length
	}
}

// rowsJSON is the form of Rows in the journal.
type rowsJSON[T any] struct {
	Like []T             `json:"like"`
	Rows json.RawMessage `json:"rows"`
}

// MarshalJSON implements json.Marshaler.
func (r Rows[T, B]) MarshalJSON() ([]byte, error) {
	all := rowsJSON[T]{Like: []T{}, Rows: []byte("[]")}
	switch len(r.parts) {
	case 0:
	case 1:
		b := r.parts[0].block
		all.Like, all.Rows = b.common(), appendRows[T](nil, b)
	default:
		return nil, errors.New("more rows than an event can hold")
	}
	line, err := encode(all)
	return bytes.TrimSuffix(line, []byte("\n")), err
}

func appendRows[T any, B block[T, B]](to []byte, b B) []byte {
	to = append(to, '[')
	for i := range b.size() {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(b.appendRow(append(to, '['), i), ']')
	}
	return append(to, ']')
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Rows[T, B]) UnmarshalJSON(raw []byte) error {
	var all rowsJSON[T]
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	rest, err := r.parse(all.Like, all.Rows)
	if err == nil && len(bytes.TrimSpace(rest)) > 0 {
		err = errors.New("rows are not a list")
	}
	return err
}

// parse reads rows and returns what follows them.
func (r *Rows[T, B]) parse(like []T, raw []byte) (rest []byte, err error) {
	if len(like) > math.MaxUint16 {
		return nil, errors.New("too many values in like")
	}
	const minRow = 16 // bytes of a row, at least
	var b B
	b = b.empty(like, min(maxBlock, len(raw)/minRow))
	rest, err = parseRows(raw, func(p *rowParser) {
		if n := p.int(); n < 0 || n >= int64(len(like)) {
			p.fail(fmt.Errorf("there is no value %d in like", n))
		} else {
			b.parseRow(p, uint16(n)) //nolint:gosec // below len(like)
		}
	})
	*r = *rowsOf[T](b)
	return rest, err
}

// parseMore is parse with the like that the rows have.
func (r *Rows[T, B]) parseMore(raw []byte) (rest []byte, err error) {
	return r.parse(r.parts[0].block.common(), raw)
}

// redacted returns the rows with secrets replaced that a row and its like hold parts of.
func (r *Rows[T, B]) redacted(secrets *redactor) *Rows[T, B] {
	var buffer []byte
	found := false
	see := func(f field, common string) {
		if !found && !f.whole() && (len(secrets.hidden) > 0 || mayHoldSecret(common)) {
			buffer = f.appendText(buffer[:0], common, nil)
			found = secrets.alters(buffer)
		}
	}
	for _, p := range r.parts {
		for i := range p.block.size() {
			p.block.split(i, see)
		}
	}
	if !found {
		return r
	}
	var b B
	b = b.empty(nil, 0)
	for _, one := range r.All() {
		for _, text := range b.texts(&one) {
			*text = secrets.text(*text, false)
		}
		b.add(one)
	}
	return rowsOf[T](b)
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
	if i == uint32(noText&^wholeText) {
		return nil
	}
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
func splitNumber[S string | []byte](text S) (common S, n field, ok bool) {
	at, number, digit := len(text), uint64(0), uint64(1)
	for ; at > 0 && text[at-1] >= '0' && text[at-1] <= '9'; at-- {
		if digit < 1e11 {
			number, digit = number+digit*uint64(text[at-1]-'0'), digit*10
		}
	}
	digits := len(text) - at
	if digits == 0 || digits > 10 || number >= uint64(wholeText) || digits > 1 && text[at] == '0' || at > 0 && text[at-1] >= 'a' && text[at-1] <= 'f' {
		return text, 0, false
	}
	return text[:at], field(number), true
}

// field is a text of a row: the number at the end of a text whose beginning others have in common or, with the bit
// wholeText, the index of a whole text.
type field uint32

const (
	wholeText field = 1 << 31
	noText          = wholeText | (wholeText - 1) // the whole text ""
)

// whole reports whether the field is a whole text.
func (f field) whole() bool { return f&wholeText != 0 }

// wholeField adds a text and returns its field.
func wholeField[S string | []byte](whole *texts, text S) field {
	if len(text) == 0 {
		return noText
	}
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
