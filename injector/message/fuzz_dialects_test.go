package message

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func FuzzRedis(f *testing.F) {
	fuzzDialect(f, "redis", func(uint8) dialect { return openRedis(Config{}) })
}

func FuzzNATS(f *testing.F) {
	fuzzDialect(f, "nats", func(uint8) dialect { return openNATS(Config{}) })
}

func FuzzLines(f *testing.F) {
	fuzzDialect(f, "lines", func(how uint8) dialect { return openLines(Config{Framing: Framing{Lockstep: how&1 > 0}}) })
}

func FuzzLengths(f *testing.F) {
	fuzzDialect(f, "lengths", func(how uint8) dialect {
		return openLengths(Config{Framing: Framing{Width: 1 << (how & 3), Little: how&4 > 0, Includes: how&8 > 0, Lockstep: how&16 > 0}})
	})
}

// fuzzDialect holds a dialect to this: what goes in comes out, the same messages whatever the pieces that it comes in; and what a fault makes of a message, or
// answers it with, is one whole message too.
func fuzzDialect(f *testing.F, protocol string, open func(how uint8) dialect) {
	for _, c := range conversations[protocol] {
		var up, down strings.Builder
		for _, l := range c.lines {
			if l.from == ">" {
				up.WriteString(l.text)
			} else {
				down.WriteString(l.text)
			}
		}
		if up.Len()+down.Len() < 1<<16 {
			f.Add([]byte(up.String()), false, uint64(1), uint8(22))
			f.Add([]byte(down.String()), true, uint64(2), uint8(22))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, toClient bool, seed uint64, how uint8) {
		dir := ToServer
		if toClient {
			dir = ToClient
		}
		if len(data) > 32<<10 {
			return
		}
		whole := readAll(t, open(how), dir, bytes.NewReader(data), func() dialect { return open(how) }, dialects[protocol].code)
		pieces := readAll(t, open(how), dir, &inPieces{data, rand.New(rand.NewPCG(seed, 1))}, func() dialect { return open(how) }, dialects[protocol].code) //nolint:gosec // a test's choices
		if !slices.Equal(whole[:len(whole)-1], pieces[:len(pieces)-1]) {
			t.Fatalf("%q as a whole is %q, in pieces %q", data, whole, pieces)
		}
		if got := strings.Join(pieces, ""); got != string(data) {
			t.Fatalf("%q became %q", data, got)
		}
		if got := strings.Join(whole, ""); got != string(data) {
			t.Fatalf("%q became %q", data, got)
		}
	})
}

type inPieces struct {
	left   []byte
	random *rand.Rand
}

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left[:min(len(r.left), 1+r.random.IntN(8))])
	r.left = r.left[n:]
	return n, nil
}

// readAll returns the messages, and at last what is none.
func readAll(t *testing.T, d dialect, dir Dir, r io.Reader, open func() dialect, code string) (all []string) {
	in := &frames{r: bufio.NewReaderSize(r, 16<<10), dialect: d, dir: dir, most: 1 << 20, raw: func() bool { return false }, idle: func() error { return nil }}
	var owed *frame
	for {
		raw, _, err := in.next()
		if err != nil {
			all = append(all, string(raw))
			rest := bytes.Buffer{}
			_, _ = in.r.Discard(in.used)
			_, _ = rest.ReadFrom(in.r)
			all[len(all)-1] += rest.String()
			return all
		}
		all = append(all, string(raw))
		f := d.look(dir, raw, owed)
		if dir == ToServer {
			d.sent(&f)
			owed = &f
		}
		distort(t, d, dir, f, raw, open, code)
	}
}

// distort tries on a message what faults do to it.
func distort(t *testing.T, d dialect, dir Dir, f frame, raw []byte, open func() dialect, code string) {
	lo, hi := f.payload[0], f.payload[1]
	if lo < 0 || hi < lo || hi > len(raw) {
		t.Fatalf("the payload of %q lies at %d to %d", raw, lo, hi)
	}
	if f.header != nil {
		f.header("a")
	}
	if tr, ok := d.(trimmer); ok && hi > lo && f.immune == "" {
		isOne(t, open(), dir, tr.trim(f, raw, (hi-lo)/2))
	}
	if re, ok := d.(refuser); ok && dir == ToServer && (f.kind == isRequest || f.id != "") && f.immune == "" {
		if text, err := re.refuse(code, f); err == nil {
			isOne(t, open(), ToClient, text)
		}
	}
}

func isOne(t *testing.T, d dialect, dir Dir, text []byte) {
	n, whole, err := d.feed(dir, text)
	if err != nil || !whole || n != len(text) {
		t.Fatalf("%q is no whole message: %d, %v, %v", text, n, whole, err)
	}
}
