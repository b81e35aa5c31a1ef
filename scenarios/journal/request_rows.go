package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"
)

// RequestRows holds keyed requests in compact form. The zero value is empty. It is not safe for concurrent use, except
// that several goroutines may read it.
//
// In the journal it is an object. Its field "like" lists requests as they are, without their times and digests, and
// with the common part of their keys. Each of its "rows" is a list: the index of the request in "like" that it equals
// otherwise, the number that follows the common part of the key (or a string, the whole key), when it was due, the
// digest, and two numbers for each attempt: when it began, counted from due, and how long it took. All times are in
// nanoseconds. Events are numbered as if each row was one: the first row has the number of the event.
type RequestRows struct{ rows[Request] }

// NewRequestRows returns rows that hold the given requests.
func NewRequestRows(all ...Request) (r RequestRows) {
	for _, one := range all {
		r.Add(one)
	}
	return r
}

// Add adds a request.
func (r *RequestRows) Add(one Request) { r.room(false, newRequestBlock).add(one) }

// addSingle adds the request of an event that holds no other.
func (r *RequestRows) addSingle(one Request, seq uint64) {
	p := r.room(true, newRequestBlock)
	p.add(one)
	p.seqs = append(p.seqs, seq)
}

// Events returns an iterator over the rows, as many at a time as an event holds.
func (r *RequestRows) Events() iter.Seq[*RequestRows] {
	return func(yield func(*RequestRows) bool) {
		for one := range r.blocks() {
			if !yield(&RequestRows{one}) {
				return
			}
		}
	}
}

// ofLoads returns the requests of some loads.
func (r *RequestRows) ofLoads(keep func(load string) bool) (kept RequestRows) {
	for _, p := range r.parts {
		b := p.block.(*requestBlock) //nolint:forcetypeassert // RequestRows has no other blocks
		one := &requestBlock{like: b.like, whole: b.whole, further: map[int][]time.Duration{}}
		var seqs []uint64
		for i, row := range b.rows {
			if !keep(b.like[row.like].Load) {
				continue
			}
			if times, ok := b.further[i]; ok {
				one.further[len(one.rows)] = times
			}
			one.rows = append(one.rows, row)
			if seq, known := r.Seq(p.start + i); known {
				seqs = append(seqs, seq)
			}
		}
		if len(one.rows) > 0 {
			kept.parts = append(kept.parts, part[Request]{block: one, start: kept.Len(), seqs: seqs})
		}
	}
	return kept
}

// requestBlock is a block of requests.
type requestBlock struct {
	like    []Request         // without the fields of requestRow; Key is the common part
	index   map[string]uint16 // of like, by its JSON
	rows    []requestRow
	further map[int][]time.Duration // by row: At, counted from due, and Took of all attempts but the first
	whole   texts                   // keys without number, and digests that are not 16 hexadecimal digits
}

// requestRow is what distinguishes a request from others.
type requestRow struct {
	due, at, took time.Duration // at is that of the first attempt, counted from due
	digest        uint64        // the digits, or the index of a whole text
	key           field
	wholeDigest   bool
	like          uint16
}

func newRequestBlock() block[Request] { return &requestBlock{} }

func (b *requestBlock) size() int { return len(b.rows) }

func (b *requestBlock) at(i int) Request {
	row := &b.rows[i]
	r := b.like[row.like]
	r.Key = string(row.key.appendText(make([]byte, 0, 32), r.Key, &b.whole))
	r.Due, r.Digest = row.due, string(b.appendDigest(nil, row))
	if r.Attempts != nil {
		r.Attempts = append(make([]Attempt, 0, len(r.Attempts)), r.Attempts...)
	}
	for n := range r.Attempts {
		at, took := b.times(i, n)
		r.Attempts[n].At, r.Attempts[n].Took = row.due+at, took
	}
	return r
}

// times returns when attempt n of a row began, counted from due, and how long it took.
func (b *requestBlock) times(i, n int) (at, took time.Duration) {
	if n == 0 {
		return b.rows[i].at, b.rows[i].took
	}
	times := b.further[i]
	return times[2*n-2], times[2*n-1]
}

// addFurther adds a further attempt to the last row.
func (b *requestBlock) addFurther(at, took time.Duration) {
	if b.further == nil {
		b.further = map[int][]time.Duration{}
	}
	i := len(b.rows) - 1
	b.further[i] = append(b.further[i], at, took)
}

func (b *requestBlock) appendDigest(to []byte, row *requestRow) []byte {
	if row.wholeDigest {
		return append(to, b.whole.at(uint32(row.digest))...) //nolint:gosec // an index of texts
	}
	const digits = 16
	to = append(to, "0000000000000000"...)
	number := strconv.AppendUint(make([]byte, 0, digits), row.digest, 16)
	copy(to[len(to)-len(number):], number)
	return to
}

// setDigest sets the digest of a row.
func setDigest[S string | []byte](b *requestBlock, row *requestRow, digest S) {
	number := uint64(0)
	hexadecimal := len(digest) == 16
	for i := range len(digest) {
		switch c := digest[i]; {
		case c >= '0' && c <= '9':
			number = number<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			number = number<<4 | uint64(c-'a'+10)
		default:
			hexadecimal = false
		}
	}
	if row.digest = number; !hexadecimal {
		row.digest, row.wholeDigest = uint64(addText(&b.whole, digest)), true
	}
}

func (b *requestBlock) add(r Request) {
	row := requestRow{due: r.Due}
	common, n, split := splitNumber(r.Key)
	like := r
	like.Key, like.Due, like.Digest = common, 0, ""
	if like.Attempts != nil {
		like.Attempts = append(make([]Attempt, 0, len(r.Attempts)), r.Attempts...)
	}
	for i := range like.Attempts {
		like.Attempts[i].At, like.Attempts[i].Took = 0, 0
	}
	row.key = n
	if !split || !b.find(like, &row.like) && len(b.like) >= maxCommon {
		like.Key = ""
		row.key = wholeField(&b.whole, r.Key)
	}
	if !b.find(like, &row.like) {
		row.like = b.addLike(like)
	}
	setDigest(b, &row, r.Digest)
	b.rows = append(b.rows, row)
	for i, a := range r.Attempts {
		if i == 0 {
			last := &b.rows[len(b.rows)-1]
			last.at, last.took = a.At-r.Due, a.Took
		} else {
			b.addFurther(a.At-r.Due, a.Took)
		}
	}
}

// find finds what a request has in common with others.
func (b *requestBlock) find(like Request, at *uint16) bool {
	text, _ := json.Marshal(like) // its fields always encode
	i, ok := b.index[string(text)]
	if ok {
		*at = i
	}
	return ok
}

func (b *requestBlock) addLike(like Request) uint16 {
	if b.index == nil {
		b.index = map[string]uint16{}
	}
	text, _ := json.Marshal(like)
	n := uint16(len(b.like)) //nolint:gosec // at most maxBlock
	b.index[string(text)] = n
	b.like = append(b.like, like)
	return n
}

// requestRowsJSON is the form of RequestRows in the journal, without the rows.
type requestRowsJSON struct {
	Like []Request       `json:"like"`
	Rows json.RawMessage `json:"rows"`
}

// MarshalJSON implements json.Marshaler.
func (r RequestRows) MarshalJSON() ([]byte, error) {
	b, ok := r.single()
	if !ok {
		return nil, errors.New("more rows than an event can hold")
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(requestRowsJSON{Like: b.like, Rows: b.appendRows(nil)})
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// single returns the rows as one block, if they can be one.
func (r RequestRows) single() (*requestBlock, bool) {
	switch {
	case len(r.parts) == 0:
		return &requestBlock{like: []Request{}}, true
	case len(r.parts) > 1:
		return nil, false
	}
	return r.parts[0].block.(*requestBlock), true //nolint:forcetypeassert // RequestRows has no other blocks
}

func (b *requestBlock) appendRows(to []byte) []byte {
	to = append(to, '[')
	for i := range b.rows {
		row := &b.rows[i]
		if i > 0 {
			to = append(to, ',')
		}
		to = strconv.AppendUint(append(to, '['), uint64(row.like), 10)
		to = row.key.appendJSON(append(to, ','), &b.whole)
		to = append(appendDuration(to, row.due), ',')
		if row.wholeDigest {
			to = appendQuoted(to, b.whole.at(uint32(row.digest))) //nolint:gosec // an index of texts
		} else {
			to = append(b.appendDigest(append(to, '"'), row), '"')
		}
		for n := range b.like[row.like].Attempts {
			at, took := b.times(i, n)
			to = appendDuration(appendDuration(to, at), took)
		}
		to = append(to, ']')
	}
	return append(to, ']')
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *RequestRows) UnmarshalJSON(raw []byte) error {
	var all requestRowsJSON
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
func (r *RequestRows) parse(like []Request, raw []byte) (rest []byte, err error) {
	if len(like) > math.MaxUint16 {
		return nil, errors.New("too many requests in like")
	}
	for i := range like {
		like[i].Due, like[i].Digest = 0, ""
	}
	b := &requestBlock{like: like, rows: make([]requestRow, 0, min(maxBlock, len(raw)/32))}
	rest, err = parseRows(raw, func(p *rowParser) {
		n := p.int()
		if n < 0 || n >= int64(len(like)) {
			p.fail(fmt.Errorf("there is no request %d in like", n))
			return
		}
		row := requestRow{like: uint16(n)} //nolint:gosec // below len(like)
		row.key = p.field(&b.whole)
		row.due = time.Duration(p.int())
		setDigest(b, &row, p.text())
		b.rows = append(b.rows, row)
		for i := range like[n].Attempts {
			at, took := time.Duration(p.int()), time.Duration(p.int())
			if i == 0 {
				last := &b.rows[len(b.rows)-1]
				last.at, last.took = at, took
			} else {
				b.addFurther(at, took)
			}
		}
	})
	r.parts = []part[Request]{{block: b}}
	return rest, err
}

// redacted returns the rows with secrets in their keys replaced that a row and its like hold parts of.
func (r *RequestRows) redacted(secrets *redactor) *RequestRows {
	var buffer []byte
	for _, p := range r.parts {
		b := p.block.(*requestBlock) //nolint:forcetypeassert // RequestRows has no other blocks
		for i := range b.rows {
			common := b.like[b.rows[i].like].Key
			if b.rows[i].key.whole() || len(secrets.hidden) == 0 && !mayHoldSecret(common) {
				continue
			}
			if buffer = b.rows[i].key.appendText(buffer[:0], common, &b.whole); secrets.alters(buffer) {
				return r.withKeys(func(key string) string { return secrets.text(key, false) })
			}
		}
	}
	return r
}

// withKeys returns the rows with other keys.
func (r *RequestRows) withKeys(of func(key string) string) *RequestRows {
	b := &requestBlock{}
	for _, one := range r.All() {
		one.Key = of(one.Key)
		b.add(one)
	}
	return &RequestRows{rows[Request]{[]part[Request]{{block: b}}}}
}
