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

// talk is a case of round trips: each connection says something and awaits the whole answer.
type talk struct {
	name, way string
	conns     int
	say       []byte
	answer    int    // bytes; 0 means those of HTTP that the first answer has
	rate, per string // what round trips are called
}

func (k talk) run(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.lasts())
	var mu sync.Mutex
	var times []time.Duration
	err := each(k.conns, func(int) error {
		mine, err := k.one(t.at[k.way], end)
		mu.Lock()
		times = append(times, mine...)
		mu.Unlock()
		return err
	})
	took := time.Since(began).Seconds()
	b.note(k.name, t, k.rate, float64(len(times))/took)
	b.cpu(k.name, t, "CPU us per "+k.per, before, float64(len(times)), 1e6)
	b.note(k.name, t, "p50 us", quantile(times, 0.5).Seconds()*1e6)
	b.note(k.name, t, "p99 us", quantile(times, 0.99).Seconds()*1e6)
	return err
}

// one is a connection's round trips.
func (k talk) one(addr string, end time.Time) (times []time.Duration, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer := make([]byte, k.answer)
	for now := time.Now(); now.Before(end); {
		if _, err := c.Write(k.say); err != nil {
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
		then := now
		now = time.Now()
		times = append(times, now.Sub(then))
	}
	return times, nil
}

// firstAnswer reads an answer of HTTP and returns the room for another of the same length.
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
