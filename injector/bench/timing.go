package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// timingServer is an upstream in this process, so that departure and arrival are measured with the same clock. It
// receives messages of 16 bytes: the number of the stream and the time of departure. A case sets arrived, which is
// called for each message, or bytes, which is called for each read.
type timingServer struct {
	ln      net.Listener
	addr    string
	arrived atomic.Pointer[func(stream uint64, left, arrived time.Time)]
	bytes   atomic.Pointer[func(n int, arrived time.Time)]
}

// clock is the origin of the times of departure.
var clock = time.Now()

func newTimingServer() (*timingServer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &timingServer{ln: ln, addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p, nil
}

func (p *timingServer) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 256<<10)
	for have := 0; ; {
		n, err := c.Read(buf[have:])
		now := time.Now()
		if count := p.bytes.Load(); count != nil && n > 0 {
			(*count)(n, now)
		}
		have += n
		arrived := p.arrived.Load()
		if arrived == nil {
			have = 0
		}
		used := 0
		for ; arrived != nil && have-used >= 16; used += 16 {
			m := buf[used:]
			left := clock.Add(time.Duration(binary.LittleEndian.Uint64(m[8:])))
			(*arrived)(binary.LittleEndian.Uint64(m), left, now)
		}
		copy(buf, buf[used:have])
		have -= min(used, have)
		if err != nil {
			return
		}
	}
}

// sendMessages sends messages on a stream, with a pause after each, until end.
func sendMessages(addr string, stream int, pause time.Duration, end time.Time) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var m [16]byte
	binary.LittleEndian.PutUint64(m[:], uint64(stream)) //nolint:gosec // small
	time.Sleep(time.Duration(stream%64) * pause / 64)
	for due := time.Now(); due.Before(end); due = due.Add(pause) {
		time.Sleep(time.Until(due))
		binary.LittleEndian.PutUint64(m[8:], uint64(time.Since(clock))) //nolint:gosec // positive
		if _, err := c.Write(m[:]); err != nil {
			return err
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, err = io.Copy(io.Discard, c) // until everything has arrived
	return err
}

// withFault runs do while a fault is live between the target and the timing server.
func (b *bench) withFault(t *target, fault string, do func() error) error {
	if fault == "" {
		return do()
	}
	proxy := t.children[len(t.children)-1]
	if _, err := proxy.command(fault); err != nil {
		return err
	}
	err := do()
	if _, herr := proxy.command("heal"); err == nil {
		err = herr
	}
	return err
}

// onArrival makes the server call arrived for each message until stop is called.
func (p *timingServer) onArrival(arrived func(stream uint64, left, arrived time.Time)) (stop func()) {
	p.arrived.Store(&arrived)
	return func() { p.arrived.Store(nil) }
}

func delayed(ms int) func(*bench, *target) error {
	name, fault := "no delay, 1,000 messages/s on 64 connections", ""
	if ms > 0 {
		name, fault = fmt.Sprintf("delay of %d ms, 1,000 messages/s on 64 connections", ms), fmt.Sprintf("delay %d", ms)
	}
	want := time.Duration(ms) * time.Millisecond
	return func(b *bench, t *target) error {
		var mu sync.Mutex
		var off []time.Duration
		defer b.timing.onArrival(func(_ uint64, left, at time.Time) {
			d := at.Sub(left) - want
			mu.Lock()
			off = append(off, max(d, -d))
			mu.Unlock()
		})()
		end := time.Now().Add(3 * b.roundTime())
		err := b.withFault(t, fault, func() error {
			return concurrently(64, func(i int) error { return sendMessages(t.addrs["timing"], i, 64*time.Millisecond, end) })
		})
		mu.Lock()
		defer mu.Unlock()
		b.add(name, t, "error p50 ms", quantile(off, 0.5).Seconds()*1e3)
		b.add(name, t, "error p99 ms", quantile(off, 0.99).Seconds()*1e3)
		return err
	}
}

// jitter measures streams with a message every 2 ms. These are so close together that independent delays would not keep
// their order.
func jitter(b *bench, t *target) error {
	const name = "delay of 50 ms, give or take 20 ms, on streams"
	var mu sync.Mutex
	var n, sum, squares float64
	defer b.timing.onArrival(func(_ uint64, left, at time.Time) {
		d := at.Sub(left).Seconds() * 1e3
		mu.Lock()
		n, sum, squares = n+1, sum+d, squares+d*d
		mu.Unlock()
	})()
	end := time.Now().Add(12 * b.roundTime())
	err := b.withFault(t, "jitter 50", func() error {
		return concurrently(16, func(i int) error { return sendMessages(t.addrs["timing"], i, 2*time.Millisecond, end) })
	})
	mu.Lock()
	defer mu.Unlock()
	mean := sum / n
	spread := math.Sqrt(squares/n - mean*mean)
	b.add(name, t, "mean off by %", 100*math.Abs(mean-50)/50)
	b.add(name, t, "spread off by %", 100*math.Abs(spread-20/math.Sqrt(3))/(20/math.Sqrt(3)))
	return err
}

func limited(rate int64) func(*bench, *target) error {
	name := fmt.Sprintf("%d MB/s", rate/1_000_000)
	return func(b *bench, t *target) error {
		var mu sync.Mutex
		var total, level, worst float64
		var first, last time.Time
		count := func(n int, at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			if first.IsZero() {
				first, last = at, at
				return // buffered before the limit took effect
			}
			total += float64(n)
			level = max(0, level-float64(rate)*at.Sub(last).Seconds()) + float64(n)
			last, worst = at, max(worst, level)
		}
		b.timing.bytes.Store(&count)
		defer b.timing.bytes.Store(nil)
		var c net.Conn
		err := b.withFault(t, fmt.Sprintf("limit %d", rate), func() (err error) {
			if c, err = net.Dial("tcp", t.addrs["timing"]); err != nil {
				return err
			}
			block := make([]byte, 64<<10)
			for end := time.Now().Add(3 * b.roundTime()); time.Now().Before(end); {
				if _, err := c.Write(block); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			b.add(name, t, "rate off by %", 100*math.Abs(total/last.Sub(first).Seconds()-float64(rate))/float64(rate))
			b.add(name, t, "largest burst ms", 1e3*worst/float64(rate))
			return nil
		})
		if c != nil { // wait for bytes in flight, which the next case would count
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
		return err
	}
}

// cut measures when the last message of each of 1,000 live connections arrived after the cut-off was injected, and how
// long healing took.
func cut(b *bench, t *target) error {
	const name = "cut off, 1,000 live connections"
	const conns = 1000
	var mu sync.Mutex
	last := make([]time.Time, conns)
	defer b.timing.onArrival(func(stream uint64, _, at time.Time) {
		mu.Lock()
		last[stream%conns] = at
		mu.Unlock()
	})()
	var senders sync.WaitGroup
	end := time.Now().Add(2500 * time.Millisecond)
	senders.Go(func() {
		_ = concurrently(conns, func(i int) error { return sendMessages(t.addrs["timing"], i, 100*time.Millisecond, end) })
	})
	proxy := t.children[len(t.children)-1]
	time.Sleep(time.Second)
	injected := time.Now()
	_, err := proxy.command("cut")
	time.Sleep(700 * time.Millisecond)
	mu.Lock()
	late := make([]time.Duration, conns)
	live := 0
	for i, arrived := range last {
		late[i] = max(0, arrived.Sub(injected))
		if !arrived.IsZero() {
			live++
		}
	}
	mu.Unlock()
	took, herr := proxy.command("heal")
	senders.Wait()
	if err == nil {
		err = herr
	}
	b.add(name, t, "live connections", float64(live))
	b.add(name, t, "last message p99 ms", quantile(late, 0.99).Seconds()*1e3)
	b.add(name, t, "last message max ms", quantile(late, 1).Seconds()*1e3)
	b.add(name, t, "healing ms", took.Seconds()*1e3)
	return err
}
