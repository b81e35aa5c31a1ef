package link

import (
	"bytes"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// loop runs do on each chunk, and handles interruption and end as a correct toxic does.
func loop(s *toxics.ToxicStub, do func(*stream.StreamChunk) bool) {
	for {
		select {
		case <-s.Interrupt:
			return
		case c := <-s.Input:
			if c == nil {
				s.Close()
				return
			}
			if !do(c) {
				return
			}
		}
	}
}

// flipper changes every byte.
type flipper struct{ Mask uint8 }

func (f *flipper) Pipe(s *toxics.ToxicStub) {
	loop(s, func(c *stream.StreamChunk) bool {
		for i := range c.Data {
			c.Data[i] ^= f.Mask
		}
		s.Output <- c
		return true
	})
}

// keeper holds its input, including the end, until it is interrupted.
type keeper struct{}

func (*keeper) Pipe(s *toxics.ToxicStub) {
	var kept []*stream.StreamChunk
	input := s.Input
	for {
		select {
		case c := <-input:
			if c == nil {
				input = nil
				continue
			}
			kept = append(kept, c)
		case <-s.Interrupt:
			for _, c := range kept {
				s.Output <- c
			}
			return
		}
	}
}

// hole drops its input.
type hole struct{}

func (*hole) Pipe(s *toxics.ToxicStub) {
	loop(s, func(*stream.StreamChunk) bool { return true })
}

// closer closes the stream after its first chunk.
type closer struct{}

func (*closer) Pipe(s *toxics.ToxicStub) {
	loop(s, func(c *stream.StreamChunk) bool {
		s.Output <- c
		s.Close()
		return false
	})
}

// talker produces output without input, and may close the stream after it.
type talker struct {
	Say string
	End bool
}

func (f *talker) Pipe(s *toxics.ToxicStub) {
	s.Output <- &stream.StreamChunk{Data: []byte(f.Say)}
	if f.End {
		s.Close()
		return
	}
	(&toxics.NoopToxic{}).Pipe(s)
}

// quitter returns after its first chunk without closing the stream.
type quitter struct{}

func (*quitter) Pipe(s *toxics.ToxicStub) {
	loop(s, func(c *stream.StreamChunk) bool {
		s.Output <- c
		return false
	})
}

// deaf ignores interruption while it holds a chunk, until call receives a value.
type deaf struct{}

var call = make(chan struct{})

func (f *deaf) Pipe(s *toxics.ToxicStub) {
	loop(s, func(c *stream.StreamChunk) bool {
		<-call
		s.Output <- c
		return true
	})
}

// bomb panics at the point named by At.
type bomb struct{ At string }

func (f *bomb) goOff(at string) {
	if f.At == at {
		panic("boom")
	}
}

func (f *bomb) UnmarshalJSON(b []byte) error {
	if bytes.Contains(b, []byte("reading")) {
		panic("boom")
	}
	f.At = string(bytes.Trim(b, `{}"At:`))
	return nil
}

func (f *bomb) NewState() any             { f.goOff("state"); return nil }
func (f *bomb) Cleanup(*toxics.ToxicStub) { f.goOff("cleaning") }
func (f *bomb) Pipe(s *toxics.ToxicStub) {
	f.goOff("once")
	loop(s, func(c *stream.StreamChunk) bool {
		f.goOff("chunk")
		s.Output <- c
		if f.At == "end" {
			s.Close()
			s.Output <- c
		}
		return true
	})
}

// counter is stateful: it passes a number of bytes and drops the rest.
type counter struct{ Bytes int }

func (f *counter) NewState() any { left := f.Bytes; return &left }
func (f *counter) Pipe(s *toxics.ToxicStub) {
	left := s.State.(*int)
	loop(s, func(c *stream.StreamChunk) bool {
		c.Data = c.Data[:min(*left, len(c.Data))]
		*left -= len(c.Data)
		s.Output <- c
		return true
	})
}

func init() {
	for name, toxic := range map[string]toxics.Toxic{
		"flipper": new(flipper), "keeper": new(keeper), "hole": new(hole), "closer": new(closer), "talker": new(talker), "quitter": new(quitter), "deaf": new(deaf),
		"bomb": new(bomb), "counter": new(counter), "their latency": new(toxics.LatencyToxic), "their bandwidth": new(toxics.BandwidthToxic),
		"their slicer": new(toxics.SlicerToxic), "their slow_close": new(toxics.SlowCloseToxic), "their timeout": new(toxics.TimeoutToxic),
		"their limit_data": new(toxics.LimitDataToxic), "their noop": new(toxics.NoopToxic),
	} {
		toxics.Register(name, toxic)
	}
}
