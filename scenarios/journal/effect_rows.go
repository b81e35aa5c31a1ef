package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
)

// EffectRows holds effects in compact form, as RequestRows holds requests.
//
// In the journal, its field "like" lists effects with the common parts of their texts. Each of its "rows" is a list:
// the index of the effect in "like" that it equals otherwise, and the numbers that follow the common parts of the key
// and of the id; a string is the whole text. If a check asks for the order of effects, the row goes on with the group,
// the field "seq", and the place in the list.
type EffectRows struct{ rows[Effect] }

// NewEffectRows returns rows that hold the given effects.
func NewEffectRows(all ...Effect) (r EffectRows) {
	for _, one := range all {
		r.Add(one)
	}
	return r
}

// Add adds an effect.
func (r *EffectRows) Add(one Effect) { r.room(false, newEffectBlock).add(one) }

// addSingle adds the effect of an event that holds no other.
func (r *EffectRows) addSingle(one Effect, seq uint64) {
	p := r.room(true, newEffectBlock)
	p.add(one)
	p.seqs = append(p.seqs, seq)
}

// Events returns an iterator over the rows, as many at a time as an event holds.
func (r *EffectRows) Events() iter.Seq[*EffectRows] {
	return func(yield func(*EffectRows) bool) {
		for one := range r.blocks() {
			if !yield(&EffectRows{one}) {
				return
			}
		}
	}
}

// AppendKey appends the key of row i. It is At without the cost of the other fields.
func (r *EffectRows) AppendKey(to []byte, i int) []byte {
	p, at := r.part(i)
	b := p.block.(*effectBlock) //nolint:forcetypeassert // EffectRows has no other blocks
	return b.rows[at].key.appendText(to, b.like[b.rows[at].like].Key, &b.whole)
}

// effectBlock is a block of effects.
type effectBlock struct {
	like  []Effect // with the common parts of the texts, and without the place
	index map[Effect]uint16
	rows  []effectRow
	order []effectOrder // of each row; nil if no row has any
	whole texts
}

// effectRow is what distinguishes an effect from others.
type effectRow struct {
	key, id field
	like    uint16
}

// effectOrder is what a row has besides if a check asks for the order of effects.
type effectOrder struct {
	group, order field
	place        int
}

func newEffectBlock() block[Effect] { return &effectBlock{} }

func (b *effectBlock) size() int { return len(b.rows) }

func (b *effectBlock) at(i int) Effect {
	row := &b.rows[i]
	e := b.like[row.like]
	text := func(f field, common string) string {
		return string(f.appendText(make([]byte, 0, 32), common, &b.whole))
	}
	e.Key, e.ID = text(row.key, e.Key), text(row.id, e.ID)
	if b.order != nil {
		o := b.order[i]
		e.Group, e.Order, e.Place = text(o.group, e.Group), text(o.order, e.Order), o.place
	}
	return e
}

func (b *effectBlock) add(e Effect) {
	var parts [4]field
	like := e
	like.Place = 0
	texts := [...]*string{&like.Key, &like.ID, &like.Group, &like.Order}
	for i, text := range texts {
		common, n, split := splitNumber(*text)
		if parts[i] = n; !split {
			parts[i], common = wholeField(&b.whole, *text), ""
		}
		*text = common
	}
	at, known := b.index[like]
	if !known && len(b.like) >= maxCommon {
		for i, text := range [...]string{e.Key, e.ID, e.Group, e.Order} {
			if *texts[i] = ""; !parts[i].whole() {
				parts[i] = wholeField(&b.whole, text)
			}
		}
		at, known = b.index[like]
	}
	if !known {
		if b.index == nil {
			b.index = map[Effect]uint16{}
		}
		at = uint16(len(b.like)) //nolint:gosec // at most maxBlock
		b.index[like] = at
		b.like = append(b.like, like)
	}
	b.rows = append(b.rows, effectRow{parts[0], parts[1], at})
	if b.order == nil && (e.Group != "" || e.Order != "" || e.Place != 0) {
		b.startOrder(len(b.rows) - 1)
	}
	if b.order != nil {
		b.order = append(b.order, effectOrder{parts[2], parts[3], e.Place})
	}
}

// startOrder gives n rows a group, an order and a place, which they do not have.
func (b *effectBlock) startOrder(n int) {
	none := wholeField(&b.whole, "")
	b.order = make([]effectOrder, n, max(maxBlock, n+1))
	for i := range b.order {
		b.order[i] = effectOrder{group: none, order: none}
	}
}

// effectRowsJSON is the form of EffectRows in the journal, without the rows.
type effectRowsJSON struct {
	Like []Effect        `json:"like"`
	Rows json.RawMessage `json:"rows"`
}

// MarshalJSON implements json.Marshaler.
func (r EffectRows) MarshalJSON() ([]byte, error) {
	b, ok := r.single()
	if !ok {
		return nil, errors.New("more rows than an event can hold")
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(effectRowsJSON{Like: b.like, Rows: b.appendRows(nil)})
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// single returns the rows as one block, if they can be one.
func (r EffectRows) single() (*effectBlock, bool) {
	switch {
	case len(r.parts) == 0:
		return &effectBlock{like: []Effect{}}, true
	case len(r.parts) > 1:
		return nil, false
	}
	return r.parts[0].block.(*effectBlock), true //nolint:forcetypeassert // EffectRows has no other blocks
}

func (b *effectBlock) appendRows(to []byte) []byte {
	to = append(to, '[')
	for i := range b.rows {
		row := &b.rows[i]
		if i > 0 {
			to = append(to, ',')
		}
		to = strconv.AppendUint(append(to, '['), uint64(row.like), 10)
		to = row.key.appendJSON(append(to, ','), &b.whole)
		to = row.id.appendJSON(append(to, ','), &b.whole)
		if b.order != nil {
			to = b.order[i].group.appendJSON(append(to, ','), &b.whole)
			to = b.order[i].order.appendJSON(append(to, ','), &b.whole)
			to = strconv.AppendInt(append(to, ','), int64(b.order[i].place), 10)
		}
		to = append(to, ']')
	}
	return append(to, ']')
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *EffectRows) UnmarshalJSON(raw []byte) error {
	var all effectRowsJSON
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
func (r *EffectRows) parse(like []Effect, raw []byte) (rest []byte, err error) {
	if len(like) > math.MaxUint16 {
		return nil, errors.New("too many effects in like")
	}
	b := &effectBlock{like: like, rows: make([]effectRow, 0, min(maxBlock, len(raw)/8))}
	rest, err = parseRows(raw, func(p *rowParser) {
		n := p.int()
		if n < 0 || n >= int64(len(like)) {
			p.fail(fmt.Errorf("there is no effect %d in like", n))
			return
		}
		b.rows = append(b.rows, effectRow{p.field(&b.whole), p.field(&b.whole), uint16(n)}) //nolint:gosec // below len(like)
		if p.more() {
			if b.order == nil {
				b.startOrder(len(b.rows) - 1)
			}
			b.order = append(b.order, effectOrder{p.field(&b.whole), p.field(&b.whole), int(p.int())})
		} else if b.order != nil {
			none := wholeField(&b.whole, "")
			b.order = append(b.order, effectOrder{group: none, order: none})
		}
	})
	r.parts = []part[Effect]{{block: b}}
	return rest, err
}

// redacted returns the rows with secrets replaced that a row and its like hold parts of.
func (r *EffectRows) redacted(secrets *redactor) *EffectRows {
	var buffer []byte
	for _, p := range r.parts {
		b := p.block.(*effectBlock) //nolint:forcetypeassert // EffectRows has no other blocks
		alters := func(f field, common string) bool {
			if f.whole() || len(secrets.hidden) == 0 && !mayHoldSecret(common) {
				return false
			}
			buffer = f.appendText(buffer[:0], common, &b.whole)
			return secrets.alters(buffer)
		}
		for i := range b.rows {
			row, like := &b.rows[i], &b.like[b.rows[i].like]
			if alters(row.key, like.Key) || alters(row.id, like.ID) ||
				b.order != nil && (alters(b.order[i].group, like.Group) || alters(b.order[i].order, like.Order)) {
				return r.withTexts(func(text string) string { return secrets.text(text, false) })
			}
		}
	}
	return r
}

// withTexts returns the rows with other texts.
func (r *EffectRows) withTexts(of func(text string) string) *EffectRows {
	b := &effectBlock{}
	for _, e := range r.All() {
		e.Key, e.ID, e.Group, e.Order = of(e.Key), of(e.ID), of(e.Group), of(e.Order)
		b.add(e)
	}
	return &EffectRows{rows[Effect]{[]part[Effect]{{block: b}}}}
}
