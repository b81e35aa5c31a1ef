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

// benchCase is one measurement.
type benchCase struct {
	name   string
	faults bool               // only for targets that support faults
	once   bool               // takes long and varies little, so that one round is enough
	fits   func(*target) bool // whether the case applies to a target
	run    func(*bench, *target) error
}

func (c benchCase) rounds(most int) int {
	if c.once {
		return 1
	}
	return most
}

func all(*target) bool       { return true }
func proxies(t *target) bool { return t.name != direct }

// noForks excludes socat, which starts a process for each connection.
func noForks(t *target) bool { return t.name != "socat" }

// linkCases lists the cases of the link suite.
func linkCases() []benchCase {
	return []benchCase{
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

// roundTime returns the duration of a round.
func (b *bench) roundTime() time.Duration {
	if b.o.quick {
		return cmp.Or(b.o.quickRound, 300*time.Millisecond)
	}
	return time.Second
}

func bulk(conns int) func(*bench, *target) error {
	name := plural("bulk, %d connection", conns)
	return func(b *bench, t *target) error {
		before, began := t.usage(), time.Now()
		end := began.Add(b.roundTime())
		var sent atomic.Int64
		err := concurrently(conns, func(int) error {
			c, err := net.Dial("tcp", t.addrs["sink"])
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
			_, err = io.Copy(io.Discard, c) // until the sink has received everything
			return err
		})
		took := time.Since(began).Seconds()
		b.add(name, t, "MB/s", float64(sent.Load())/took/1e6)
		b.addCPU(name, t, "CPU ns per KB", before, float64(sent.Load())/1000, 1e9)
		return err
	}
}

// plural formats a number with a noun in singular or plural.
func plural(format string, n int) string {
	s := fmt.Sprintf(format, n)
	if n != 1 {
		s += "s"
	}
	return s
}

// addCPU adds a target's processor time per unit, if it has processes.
func (b *bench) addCPU(name string, t *target, metric string, before usage, units, scale float64) {
	if len(t.pids) > 0 && units > 0 {
		b.add(name, t, metric, (t.usage().cpu-before.cpu)*scale/units)
	}
}

// concurrently runs do n times concurrently and returns the first error.
func concurrently(n int, do func(i int) error) error {
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
	return roundTrips{name: name, server: "echo", conns: conns, request: make([]byte, 64), answer: 64, rate: "round trips/s", unit: "op"}.run
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
	end := began.Add(b.roundTime())
	var n atomic.Int64
	err := concurrently(4, func(int) error {
		message := make([]byte, 64)
		for time.Now().Before(end) {
			c, err := net.Dial("tcp", t.addrs["echo"])
			if err != nil {
				return err
			}
			_, err = c.Write(message)
			if err == nil {
				_, err = io.ReadFull(c, message)
			}
			_ = c.Close()
			if err != nil {
				return err
			}
			n.Add(1)
		}
		return nil
	})
	b.add("churn", t, "connections/s", float64(n.Load())/time.Since(began).Seconds())
	b.addCPU("churn", t, "CPU us per connection", before, float64(n.Load()), 1e6)
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
		conns := min(conns, (openFiles()-200)/2) // a proxy uses two descriptors for each connection
		b.add(name, t, "connections asked for", float64(conns))
		before := t.usage()
		g0, m0, _ := t.goStats()
		held := make([]net.Conn, 0, conns)
		defer func() {
			for _, c := range held {
				_ = c.Close()
			}
			time.Sleep(300 * time.Millisecond) // let the target become idle before the next case
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
			c, err := net.Dial("tcp", t.addrs["echo"])
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
			b.add(name, t, "resident bytes per connection", (u.resident-before.resident)/n)
			b.add(name, t, "descriptors per connection", (u.files-before.files)/n)
			if ok {
				b.add(name, t, "heap and stack bytes per connection", (m-m0)/n)
				b.add(name, t, "goroutines per connection", (g-g0)/n)
			}
		}
		answered := 0
		for _, c := range held {
			if ping(c) == nil {
				answered++
			}
		}
		b.add(name, t, "answered after idling", float64(answered))
		b.add(name, t, "held", float64(answered)/n)
		return nil
	}
}
