package journal

import (
	"encoding/json"
	"strconv"
	"time"
)

// RequestRows holds keyed requests in compact form. A row in the journal has the text of the key, when the request was
// due, the digest, and two numbers for each attempt: when it began, counted from due, and how long it took. All times
// are in nanoseconds.
type RequestRows = Rows[Request, *requestBlock]

// NewRequestRows returns rows that hold the given requests.
func NewRequestRows(all ...Request) (r RequestRows) {
	r.Add(all...)
	return r
}

// ofLoads returns the requests of some loads.
func ofLoads(r *RequestRows, keep func(load string) bool) (kept RequestRows) {
	for _, p := range r.parts {
		b := p.block
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
			kept.parts = append(kept.parts, part[Request, *requestBlock]{block: one, start: kept.Len(), seqs: seqs})
		}
	}
	return kept
}

// requestBlock is a block of requests.
type requestBlock struct {
	like    []Request         // without the fields of requestRow; Key is the common part
	index   map[string]uint16 // of like, by its JSON
	rows    []requestRow
	further map[int][]time.Duration // by row: At, counted from due, and Took of all attempts but the first, or of all if row.long
	whole   texts                   // keys without number, and digests that are not 16 hexadecimal digits
}

// requestRow is what distinguishes a request from others.
type requestRow struct {
	due               time.Duration
	digest            uint64 // the digits, or the index of a whole text
	at, took          uint32 // of the first attempt, in ns from due, unless long
	key               field
	like              uint16
	wholeDigest, long bool
}

func (*requestBlock) empty(like []Request, rows int) *requestBlock {
	for i := range like {
		like[i].Due, like[i].Digest = 0, ""
	}
	return &requestBlock{like: like, rows: make([]requestRow, 0, rows)}
}

func (b *requestBlock) common() []Request { return b.like }
func (b *requestBlock) size() int         { return len(b.rows) }

func (b *requestBlock) at(i int) Request {
	row := &b.rows[i]
	r := b.like[row.like]
	r.Key = string(b.appendKey(make([]byte, 0, 32), i))
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
	row := &b.rows[i]
	switch {
	case row.long:
	case n == 0:
		return time.Duration(row.at), time.Duration(row.took)
	default:
		n--
	}
	times := b.further[i]
	return times[2*n], times[2*n+1]
}

// addTimes adds the times of attempt n to the last row.
func (b *requestBlock) addTimes(n int, at, took time.Duration) {
	i := len(b.rows) - 1
	row := &b.rows[i]
	if n == 0 {
		row.at, row.took = uint32(at), uint32(took) //nolint:gosec // compared
		if row.long = time.Duration(row.at) != at || time.Duration(row.took) != took; !row.long {
			return
		}
	}
	if b.further == nil {
		b.further = map[int][]time.Duration{}
	}
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
	for n, a := range r.Attempts {
		b.addTimes(n, a.At-r.Due, a.Took)
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

func (b *requestBlock) appendKey(to []byte, i int) []byte {
	return b.rows[i].key.appendText(to, b.like[b.rows[i].like].Key, &b.whole)
}

func (b *requestBlock) appendRow(to []byte, i int) []byte {
	row := &b.rows[i]
	to = strconv.AppendUint(to, uint64(row.like), 10)
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
	return to
}

func (b *requestBlock) parseRow(p *rowParser, like uint16) {
	row := requestRow{like: like, key: p.field(&b.whole), due: time.Duration(p.int())}
	setDigest(b, &row, p.text())
	b.rows = append(b.rows, row)
	for i := range b.like[like].Attempts {
		b.addTimes(i, time.Duration(p.int()), time.Duration(p.int()))
	}
}

func (b *requestBlock) split(i int, see func(f field, common string)) {
	see(b.rows[i].key, b.like[b.rows[i].like].Key)
}

func (*requestBlock) texts(r *Request) []*string { return []*string{&r.Key} }
