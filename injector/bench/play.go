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

// playground is this process as the server behind a target, so that departure and arrival are read from one clock. Messages are 16 bytes: the stream's
// number and when it left. Whoever measures sets arrived; bytes gets streams of anything else.
type playground struct {
	ln      net.Listener
	addr    string
	arrived atomic.Pointer[func(stream uint64, left, came time.Time)]
	bytes   atomic.Pointer[func(n int, came time.Time)]
}

var clock = time.Now()

func newPlayground() (*playground, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &playground{ln: ln, addr: ln.Addr().String()}
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

func (p *playground) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 256<<10)
	for have := 0; ; {
		n, err := c.Read(buf[have:])
		came := time.Now()
		if count := p.bytes.Load(); count != nil && n > 0 {
			(*count)(n, came)
		}
		have += n
		arrived := p.arrived.Load()
		if arrived == nil {
			have = 0
		}
		at := 0
		for ; arrived != nil && have-at >= 16; at += 16 {
			(*arrived)(binary.LittleEndian.Uint64(buf[at:]), clock.Add(time.Duration(binary.LittleEndian.Uint64(buf[at+8:]))), came)
		}
		copy(buf, buf[at:have])
		have -= min(at, have)
		if err != nil {
			return
		}
	}
}

// say sends messages on a stream, each after a pause, until end or until stop is closed.
func say(addr string, stream int, pause time.Duration, end time.Time) error {
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
	_, err = io.Copy(io.Discard, c) // until all has arrived
	return err
}

// disturbed runs do while a fault is live on the way to the playground.
func (b *bench) disturbed(t *target, fault string, do func() error) error {
	if fault == "" {
		return do()
	}
	way := t.stats[len(t.stats)-1]
	if _, err := way.command(fault); err != nil {
		return err
	}
	err := do()
	if _, herr := way.command("heal"); err == nil {
		err = herr
	}
	return err
}

// listen sets what is done with arriving messages, and returns how to stop.
func (p *playground) listen(arrived func(stream uint64, left, came time.Time)) (stop func()) {
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
		defer b.play.listen(func(_ uint64, left, came time.Time) {
			d := came.Sub(left) - want
			mu.Lock()
			off = append(off, max(d, -d))
			mu.Unlock()
		})()
		end := time.Now().Add(3 * b.lasts())
		err := b.disturbed(t, fault, func() error {
			return each(64, func(i int) error { return say(t.at["play"], i, 64*time.Millisecond, end) })
		})
		mu.Lock()
		defer mu.Unlock()
		b.note(name, t, "error p50 ms", quantile(off, 0.5).Seconds()*1e3)
		b.note(name, t, "error p99 ms", quantile(off, 0.99).Seconds()*1e3)
		return err
	}
}

// jitter measures streams of a message each 2 ms, whose delays follow each other so closely that independent ones could not be kept in order.
func jitter(b *bench, t *target) error {
	const name = "delay of 50 ms, give or take 20 ms, on streams"
	var mu sync.Mutex
	var n, sum, squares float64
	defer b.play.listen(func(_ uint64, left, came time.Time) {
		d := came.Sub(left).Seconds() * 1e3
		mu.Lock()
		n, sum, squares = n+1, sum+d, squares+d*d
		mu.Unlock()
	})()
	end := time.Now().Add(12 * b.lasts())
	err := b.disturbed(t, "jitter 50", func() error {
		return each(16, func(i int) error { return say(t.at["play"], i, 2*time.Millisecond, end) })
	})
	mu.Lock()
	defer mu.Unlock()
	mean := sum / n
	spread := math.Sqrt(squares/n - mean*mean)
	b.note(name, t, "mean off by %", 100*math.Abs(mean-50)/50)
	b.note(name, t, "spread off by %", 100*math.Abs(spread-20/math.Sqrt(3))/(20/math.Sqrt(3)))
	return err
}

func limited(rate int64) func(*bench, *target) error {
	name := fmt.Sprintf("%d MB/s", rate/1_000_000)
	return func(b *bench, t *target) error {
		var mu sync.Mutex
		var total, level, worst float64
		var first, last time.Time
		count := func(n int, came time.Time) {
			mu.Lock()
			defer mu.Unlock()
			if first.IsZero() {
				first, last = came, came
				return // what stood in buffers before the limit had its first say
			}
			total += float64(n)
			level = max(0, level-float64(rate)*came.Sub(last).Seconds()) + float64(n)
			last, worst = came, max(worst, level)
		}
		b.play.bytes.Store(&count)
		defer b.play.bytes.Store(nil)
		var c net.Conn
		err := b.disturbed(t, fmt.Sprintf("limit %d", rate), func() (err error) {
			if c, err = net.Dial("tcp", t.at["play"]); err != nil {
				return err
			}
			block := make([]byte, 64<<10)
			for end := time.Now().Add(3 * b.lasts()); time.Now().Before(end); {
				if _, err := c.Write(block); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			b.note(name, t, "rate off by %", 100*math.Abs(total/last.Sub(first).Seconds()-float64(rate))/float64(rate))
			b.note(name, t, "largest burst ms", 1e3*worst/float64(rate))
			return nil
		})
		if c != nil { // what is still under way would be counted in the next measurement
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
		return err
	}
}

// cut measures when the last message of each of 1,000 live connections came through after the link was told to be silent, and how long healing took.
func cut(b *bench, t *target) error {
	const name = "cut off, 1,000 live connections"
	const conns = 1000
	var mu sync.Mutex
	last := make([]time.Time, conns)
	defer b.play.listen(func(stream uint64, _, came time.Time) {
		mu.Lock()
		last[stream%conns] = came
		mu.Unlock()
	})()
	var saying sync.WaitGroup
	end := time.Now().Add(2500 * time.Millisecond)
	saying.Go(func() {
		_ = each(conns, func(i int) error { return say(t.at["play"], i, 100*time.Millisecond, end) })
	})
	way := t.stats[len(t.stats)-1]
	time.Sleep(time.Second)
	told := time.Now()
	_, err := way.command("cut")
	time.Sleep(700 * time.Millisecond)
	mu.Lock()
	late := make([]time.Duration, conns)
	silent := 0
	for i, came := range last {
		late[i] = max(0, came.Sub(told))
		if !came.IsZero() {
			silent++
		}
	}
	mu.Unlock()
	took, herr := way.command("heal")
	saying.Wait()
	if err == nil {
		err = herr
	}
	b.note(name, t, "live connections", float64(silent))
	b.note(name, t, "last message p99 ms", quantile(late, 0.99).Seconds()*1e3)
	b.note(name, t, "last message at the latest ms", quantile(late, 1).Seconds()*1e3)
	b.note(name, t, "healing ms", took.Seconds()*1e3)
	return err
}
