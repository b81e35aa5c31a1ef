package load

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestLengthsOfMessages(t *testing.T) {
	for _, c := range []struct {
		framing message.Framing
		n       int
		prefix  []byte // nil: it does not fit
	}{
		{message.Framing{Width: 1}, 255, []byte{255}},
		{message.Framing{Width: 1}, 256, nil},
		{message.Framing{Width: 1, Includes: true}, 254, []byte{255}},
		{message.Framing{Width: 1, Includes: true}, 255, nil},
		{message.Framing{Width: 2}, 258, []byte{1, 2}},
		{message.Framing{Width: 2, Little: true}, 258, []byte{2, 1}},
		{message.Framing{Width: 4, Includes: true}, 0, []byte{0, 0, 0, 4}},
		{message.Framing{Width: 8, Little: true}, 1, []byte{1, 0, 0, 0, 0, 0, 0, 0}},
	} {
		prefix, ok := appendLength(c.framing, c.n)
		assert.Equal(t, c.prefix != nil, ok, "%+v", c)
		assert.Equal(t, c.prefix, prefix, "%+v", c)
		if ok {
			n, ok := lengthIn(c.framing, prefix)
			assert.True(t, ok, "%+v", c)
			assert.Equal(t, c.n, n, "%+v", c)
		}
	}
	for _, c := range []struct {
		framing message.Framing
		prefix  []byte
	}{
		{message.Framing{Width: 2, Includes: true}, []byte{0, 1}},
		{message.Framing{Width: 4}, []byte{0x7f, 0, 0, 0}},
		{message.Framing{Width: 8}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		_, ok := lengthIn(c.framing, c.prefix)
		assert.False(t, ok, "%+v", c)
	}
}
