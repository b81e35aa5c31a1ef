package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// dependency calls the dependency of a service. Without an address, every call succeeds at once.
type dependency struct {
	o      options
	client http.Client

	mu       sync.Mutex
	failures int       // in a row
	opened   time.Time // when the breaker opened; zero while it is closed
	answer   string    // the last one
	leaked   time.Duration
}

var errOpen = errors.New("the breaker is open")

func newDependency(o options) *dependency {
	d := &dependency{o: o, client: http.Client{Timeout: o.patience, Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableKeepAlives: o.noReuse}}}
	if o.dep == "" {
		return d
	}
	if o.idle {
		go d.holdConnection()
	}
	if o.heartbeat > 0 {
		go func() {
			own := http.Client{Timeout: o.patience, Transport: &http.Transport{DisableKeepAlives: o.noReuse}}
			time.Sleep(o.heartbeatAfter)
			for range time.Tick(o.heartbeat) {
				_, _ = ask(&own, o.dep, http.MethodGet, "/ok")
			}
		}()
	}
	return d
}

func (d *dependency) holdConnection() {
	conn, err := net.Dial("tcp", d.o.dep)
	if err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// call calls the dependency, with the time limit and the tries of the options, and returns its answer.
func (d *dependency) call(method, path string) (string, error) {
	if d.o.dep == "" {
		return "none", nil
	}
	if d.o.cached {
		if answer := d.last(); answer != "" {
			return answer, nil
		}
	}
	if !d.allowed() {
		return "", errOpen
	}
	var answer string
	var err error
	for try := 0; try < max(1, d.o.tries); try++ {
		if try > 0 {
			time.Sleep(d.o.gap)
		}
		if answer, err = d.once(d.o.dep, method, path); err == nil {
			break
		}
	}
	if err != nil && d.o.second != "" {
		answer, err = d.once(d.o.second, method, path)
	}
	if err != nil && d.o.backlog {
		go d.untilAnswered(method, path)
	}
	d.count(answer, err)
	return answer, err
}

// untilAnswered repeats a call until it succeeds. This is a deliberate mistake: all such calls arrive
// together when the dependency is back.
func (d *dependency) untilAnswered(method, path string) {
	for {
		if _, err := d.once(d.o.dep, method, path); err == nil {
			return
		}
		time.Sleep(d.o.gap)
	}
}

func (d *dependency) once(addr, method, path string) (string, error) {
	return ask(&d.client, addr, method, path)
}

func ask(client *http.Client, addr, method, path string) (string, error) {
	req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(""))
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(body), err
}

// allowed reports whether the breaker permits a call.
func (d *dependency) allowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened.IsZero() || d.o.closes > 0 && time.Since(d.opened) > d.o.closes
}

func (d *dependency) count(answer string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.failures, d.opened, d.answer = 0, time.Time{}, answer
		return
	}
	d.leaked += d.o.leak
	if d.failures++; d.o.breaker > 0 && d.failures >= d.o.breaker {
		d.opened = time.Now()
	}
}

// last returns the last good answer, or "" if there was none.
func (d *dependency) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answer
}

// lateness returns the delay that failed calls have added to every answer.
func (d *dependency) lateness() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leaked
}
