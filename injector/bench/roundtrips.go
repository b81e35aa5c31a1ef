package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// roundTrips is a case in which each connection repeatedly sends a request and waits for the whole answer.
type roundTrips struct {
	name, server string
	conns        int
	request      []byte
	answer       int    // length in bytes; 0 means that of the first HTTP answer
	rate, unit   string // names of the metrics
}

func (k roundTrips) run(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.roundTime())
	var mu sync.Mutex
	var times []time.Duration
	err := concurrently(k.conns, func(int) error {
		mine, err := k.runOne(t.addrs[k.server], end)
		mu.Lock()
		times = append(times, mine...)
		mu.Unlock()
		return err
	})
	took := time.Since(began).Seconds()
	b.add(k.name, t, k.rate, float64(len(times))/took)
	b.addCPU(k.name, t, "CPU us per "+k.unit, before, float64(len(times)), 1e6)
	b.add(k.name, t, "p50 us", quantile(times, 0.5).Seconds()*1e6)
	b.add(k.name, t, "p99 us", quantile(times, 0.99).Seconds()*1e6)
	return err
}

// runOne makes the round trips of one connection and returns their durations.
func (k roundTrips) runOne(addr string, end time.Time) (times []time.Duration, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer := make([]byte, k.answer)
	for now := time.Now(); len(times) == 0 || now.Before(end); { // at least once, also on a busy machine
		if _, err := c.Write(k.request); err != nil {
			return times, err
		}
		if len(answer) == 0 {
			answer, err = firstAnswer(c)
		} else {
			_, err = io.ReadFull(c, answer)
		}
		if err != nil {
			return times, err
		}
		before := now
		now = time.Now()
		times = append(times, now.Sub(before))
	}
	return times, nil
}

// firstAnswer reads an HTTP answer and returns a buffer of the same length.
func firstAnswer(c net.Conn) ([]byte, error) {
	var all []byte
	for buf := make([]byte, 8<<10); ; {
		n, err := c.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			return nil, fmt.Errorf("after %q: %w", all, err)
		}
		head, body, ok := bytes.Cut(all, []byte("\r\n\r\n"))
		if !ok {
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), nil)
		if err != nil || resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 {
			return nil, fmt.Errorf("the answer is %q: %w", head, err)
		}
		_ = resp.Body.Close()
		if int64(len(body)) == resp.ContentLength {
			return make([]byte, len(all)), nil
		}
	}
}
