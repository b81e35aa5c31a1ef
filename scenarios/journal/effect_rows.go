package journal

import (
	"slices"
	"strconv"
)

// EffectRows holds effects in compact form. A row in the journal has the texts of the key and of the id. If a check asks
// for the order of effects, the row goes on with the group, the field "seq", and the place in the list; and if it
// compares values, with the value.
type EffectRows = Rows[Effect, *effectBlock]

// NewEffectRows returns rows that hold the given effects.
func NewEffectRows(all ...Effect) (r EffectRows) {
	r.Add(all...)
	return r
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

// effectOrder is what a row has besides if a check asks for the order of effects, or for their values.
type effectOrder struct {
	group, order, value field
	place               int
}

func (*effectBlock) empty(like []Effect, rows int) *effectBlock {
	return &effectBlock{like: like, rows: make([]effectRow, 0, rows)}
}

func (b *effectBlock) common() []Effect { return b.like }
func (b *effectBlock) size() int        { return len(b.rows) }

func (b *effectBlock) at(i int) Effect {
	row := &b.rows[i]
	e := b.like[row.like]
	text := func(f field, common string) string {
		return string(f.appendText(make([]byte, 0, 32), common, &b.whole))
	}
	e.Key, e.ID = text(row.key, e.Key), text(row.id, e.ID)
	if b.order != nil {
		o := b.order[i]
		e.Group, e.Order, e.Place, e.Value = text(o.group, e.Group), text(o.order, e.Order), o.place, text(o.value, e.Value)
	}
	return e
}

func (b *effectBlock) add(e Effect) {
	var parts [5]field
	like := e
	like.Place = 0
	texts := b.texts(&like)
	for i, text := range texts {
		common, n, split := splitNumber(*text)
		if parts[i] = n; !split {
			parts[i], common = wholeField(&b.whole, *text), ""
		}
		*text = common
	}
	at, known := b.find(like)
	if !known && len(b.like) >= maxCommon {
		for i, text := range b.texts(&e) {
			if *texts[i] = ""; !parts[i].whole() {
				parts[i] = wholeField(&b.whole, *text)
			}
		}
		at, known = b.find(like)
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
	if b.order == nil && (e.Group != "" || e.Order != "" || e.Value != "" || e.Place != 0) {
		b.startOrder(len(b.rows) - 1)
	}
	if b.order != nil {
		b.order = append(b.order, effectOrder{parts[2], parts[3], parts[4], e.Place})
	}
}

// find finds what an effect has in common with others, most often with the last one.
func (b *effectBlock) find(like Effect) (at uint16, ok bool) {
	if n := len(b.rows); n > 0 && b.like[b.rows[n-1].like] == like {
		return b.rows[n-1].like, true
	}
	at, ok = b.index[like]
	return at, ok
}

// startOrder gives n rows a group, an order, a value and a place, which they do not have.
func (b *effectBlock) startOrder(n int) {
	b.order = slices.Repeat([]effectOrder{{group: noText, order: noText, value: noText}}, n)
}

func (b *effectBlock) appendKey(to []byte, i int) []byte {
	return b.rows[i].key.appendText(to, b.like[b.rows[i].like].Key, &b.whole)
}

// hasKey reports whether row i has a key. The other arguments are what splitNumber returns for it.
func (b *effectBlock) hasKey(i int, key, common []byte, n field, split bool) bool {
	row := &b.rows[i]
	if row.key.whole() {
		return string(b.whole.at(uint32(row.key&^wholeText))) == string(key)
	}
	return split && row.key == n && b.like[row.like].Key == string(common)
}

func (b *effectBlock) appendRow(to []byte, i int) []byte {
	row := &b.rows[i]
	to = strconv.AppendUint(to, uint64(row.like), 10)
	to = row.key.appendJSON(append(to, ','), &b.whole)
	to = row.id.appendJSON(append(to, ','), &b.whole)
	if b.order != nil {
		o := b.order[i]
		to = o.group.appendJSON(append(to, ','), &b.whole)
		to = o.order.appendJSON(append(to, ','), &b.whole)
		to = strconv.AppendInt(append(to, ','), int64(o.place), 10)
		if o.value != noText {
			to = o.value.appendJSON(append(to, ','), &b.whole)
		}
	}
	return to
}

func (b *effectBlock) parseRow(p *rowParser, like uint16) {
	b.rows = append(b.rows, effectRow{p.field(&b.whole), p.field(&b.whole), like})
	if p.more() && b.order == nil {
		b.startOrder(len(b.rows) - 1)
	}
	if b.order == nil {
		return
	}
	o := effectOrder{group: noText, order: noText, value: noText}
	if p.more() {
		o.group, o.order, o.place = p.field(&b.whole), p.field(&b.whole), int(p.int())
	}
	if p.more() {
		o.value = p.field(&b.whole)
	}
	b.order = append(b.order, o)
}

func (b *effectBlock) split(i int, see func(f field, common string)) {
	row := &b.rows[i]
	like := &b.like[row.like]
	see(row.key, like.Key)
	see(row.id, like.ID)
	if b.order != nil {
		see(b.order[i].group, like.Group)
		see(b.order[i].order, like.Order)
		see(b.order[i].value, like.Value)
	}
}

func (*effectBlock) texts(e *Effect) []*string {
	return []*string{&e.Key, &e.ID, &e.Group, &e.Order, &e.Value}
}
