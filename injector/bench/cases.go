package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kase is one measurement.
type kase struct {
	name   string
	faults bool // only of targets that can be disturbed
	once   bool // long, and the same every time
	fits   func(*target) bool
	run    func(*bench, *target) error
}

func (c kase) rounds(most int) int {
	if c.once {
		return 1
	}
	return most
}

func all(*target) bool       { return true }
func proxies(t *target) bool { return t.name != direct }

// noForks leaves out what starts a process for each connection: ten thousand of them are no measurement.
func noForks(t *target) bool { return t.name != "socat" }

// cases lists the measurements.
func cases() []kase {
	return []kase{
		{name: "bulk, 1 connection", fits: all, run: bulk(1)},
		{name: "bulk, 16 connections", fits: all, run: bulk(16)},
		{name: "ping-pong 64 B, 1 connection", fits: all, run: pingPong(1)},
		{name: "ping-pong 64 B, 64 connections", fits: all, run: pingPong(64)},
		{name: "churn", fits: all, run: churn},
		{name: "1,000 idle connections", once: true, fits: noForks, run: idle(1000)},
		{name: "10,000 idle connections", once: true, fits: noForks, run: idle(10000)},
		{name: "no delay, 1,000 messages/s on 64 connections", once: true, fits: all, run: delayed(0)},
		{name: "delay of 20 ms, 1,000 messages/s on 64 connections", faults: true, fits: all, run: delayed(20)},
		{name: "delay of 50 ms, give or take 20 ms, on streams", faults: true, once: true, fits: all, run: jitter},
		{name: "1 MB/s", faults: true, once: true, fits: all, run: limited(1_000_000)},
		{name: "10 MB/s", faults: true, once: true, fits: all, run: limited(10_000_000)},
		{name: "100 MB/s", faults: true, once: true, fits: all, run: limited(100_000_000)},
		{name: "cut off, 1,000 live connections", faults: true, fits: all, run: cut},
	}
}

// lasts is how long a round measures.
func (b *bench) lasts() time.Duration {
	if b.o.quick {
		return cmp.Or(b.o.brief, 300*time.Millisecond)
	}
	return time.Second
}

func bulk(conns int) func(*bench, *target) error {
	name := plural("bulk, %d connection", conns)
	return func(b *bench, t *target) error {
		before, began := t.usage(), time.Now()
		end := began.Add(b.lasts())
		var sent atomic.Int64
		err := each(conns, func(int) error {
			c, err := net.Dial("tcp", t.at["sink"])
			if err != nil {
				return err
			}
			defer c.Close()
			block := make([]byte, 256<<10)
			for time.Now().Before(end) {
				n, err := c.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return err
				}
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_, err = io.Copy(io.Discard, c) // until the sink has all
			return err
		})
		took := time.Since(began).Seconds()
		b.note(name, t, "MB/s", float64(sent.Load())/took/1e6)
		b.cpu(name, t, "CPU ns per KB", before, float64(sent.Load())/1000, 1e9)
		return err
	}
}

// plural is a name with its plural.
func plural(format string, n int) string {
	s := fmt.Sprintf(format, n)
	if n != 1 {
		s += "s"
	}
	return s
}

// cpu notes a target's processor time per unit, where it has processes.
func (b *bench) cpu(name string, t *target, metric string, before usage, units, scale float64) {
	if len(t.pids) > 0 && units > 0 {
		b.note(name, t, metric, (t.usage().cpu-before.cpu)*scale/units)
	}
}

// each runs do n times at once and returns the first error.
func each(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			if err := do(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func pingPong(conns int) func(*bench, *target) error {
	name := plural("ping-pong 64 B, %d connection", conns)
	return talk{name: name, way: "echo", conns: conns, say: make([]byte, 64), answer: 64, rate: "round trips/s", per: "op"}.run
}

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))]
}

func churn(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.lasts())
	var n atomic.Int64
	err := each(4, func(int) error {
		ball := make([]byte, 64)
		for time.Now().Before(end) {
			c, err := net.Dial("tcp", t.at["echo"])
			if err != nil {
				return err
			}
			_, err = c.Write(ball)
			if err == nil {
				_, err = io.ReadFull(c, ball)
			}
			_ = c.Close()
			if err != nil {
				return err
			}
			n.Add(1)
		}
		return nil
	})
	b.note("churn", t, "connections/s", float64(n.Load())/time.Since(began).Seconds())
	b.cpu("churn", t, "CPU us per connection", before, float64(n.Load()), 1e6)
	return err
}

func idle(conns int) func(*bench, *target) error {
	name := "1,000 idle connections"
	if conns > 1000 {
		name = "10,000 idle connections"
	}
	return func(b *bench, t *target) error {
		if b.o.quick && conns > 1000 {
			return nil
		}
		conns := min(conns, (openFiles()-200)/2) // a proxy has two for each connection
		b.note(name, t, "connections asked for", float64(conns))
		before := t.usage()
		g0, m0, _ := t.goStats()
		held := make([]net.Conn, 0, conns)
		defer func() {
			for _, c := range held {
				_ = c.Close()
			}
			time.Sleep(300 * time.Millisecond) // the next measurement starts from rest
		}()
		ping := func(c net.Conn) error {
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 1))
			return err
		}
		for range conns {
			c, err := net.Dial("tcp", t.at["echo"])
			if err != nil {
				return fmt.Errorf("after %d connections: %w", len(held), err)
			}
			held = append(held, c)
			if err := ping(c); err != nil {
				return fmt.Errorf("after %d connections: %w", len(held), err)
			}
		}
		time.Sleep(500 * time.Millisecond)
		n := float64(conns)
		if proxies(t) {
			g, m, ok := t.goStats()
			u := t.usage()
			b.note(name, t, "resident bytes per connection", (u.resident-before.resident)/n)
			b.note(name, t, "descriptors per connection", (u.files-before.files)/n)
			if ok {
				b.note(name, t, "heap and stack bytes per connection", (m-m0)/n)
				b.note(name, t, "goroutines per connection", (g-g0)/n)
			}
		}
		answered := 0
		for _, c := range held {
			if ping(c) == nil {
				answered++
			}
		}
		b.note(name, t, "answered after the rest", float64(answered))
		b.note(name, t, "held", float64(answered)/n)
		return nil
	}
}
