package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// faulty is a proxy that can be disturbed: word is delay, jitter, limit or cut, and n its milliseconds or bytes per second.
type faulty interface {
	disturb(word string, n int64) (heal func() error, err error)
}

// teller is a child that counts datagrams: those that arrived (a server), or that were lost and that no fault did (a link).
type teller interface{ tell() int64 }

// serve is a child: it prints where it listens and then obeys its standard input, a line each: stats, tell, heal, or a fault and its number.
func serve(kind string, args []string) {
	addr, proxy, err := listen(kind, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(addr)
	heal := func() error { return nil }
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word, number, _ := strings.Cut(in.Text(), " ")
		began := time.Now()
		var err error
		switch word {
		case "stats":
			fmt.Println(stats())
			continue
		case "tell":
			fmt.Println(proxy.(teller).tell())
			continue
		case "heal":
			err = heal()
		default:
			n, _ := strconv.ParseInt(number, 10, 64)
			heal, err = proxy.(faulty).disturb(word, n)
		}
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("ok", time.Since(began).Nanoseconds())
	}
}

// stats are the goroutines and the bytes of heap and stacks in use.
func stats() string {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprint(runtime.NumGoroutine(), " ", m.HeapInuse+m.StackInuse)
}

func listen(kind string, args []string) (addr string, proxy any, err error) {
	switch kind {
	case "echo":
		return accept(echo)
	case "sink":
		return accept(func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, onlyReader{c}) })
	case "copy loop":
		return accept(func(c *net.TCPConn) { relay(c, args[0], pooled) })
	case "io.Copy":
		return accept(func(c *net.TCPConn) {
			relay(c, args[0], func(to, from *net.TCPConn) { _, _ = io.Copy(to, from) })
		})
	case "firedrill":
		l, err := link.Open(link.Config{Name: "a -> b", Upstream: args[0]})
		if err != nil {
			return "", nil, err
		}
		return l.Addr(), ours{l}, nil
	case "toxiproxy":
		server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
		p := toxiproxy.NewProxy(server, "bench", "127.0.0.1:0", args[0])
		if err := p.Start(); err != nil {
			return "", nil, err
		}
		return p.Listen, theirs{p}, nil
	}
	return listenMessage(kind, args)
}

// onlyReader hides what would let io.Copy take a short way.
type onlyReader struct{ io.Reader }

func accept(do func(*net.TCPConn)) (string, any, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				do(c.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String(), nil, nil
}

// relay is the simplest proxy there is.
func relay(c *net.TCPConn, upstream string, carry func(to, from *net.TCPConn)) {
	raw, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	up := raw.(*net.TCPConn)
	defer func() { _ = up.Close() }()
	var both sync.WaitGroup
	both.Go(func() { carry(up, c); _ = up.CloseWrite() })
	carry(c, up)
	_ = c.CloseWrite()
	both.Wait()
}

// echo takes no pipe for a connection, as io.Copy would: ten thousand of them are to be held.
func echo(c *net.TCPConn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			_, _ = c.Write(buf[:n])
		}
		if err != nil {
			_ = c.CloseWrite()
			return
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func pooled(to, from *net.TCPConn) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if _, err := to.Write((*buf)[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// ours is a link of ours. All that this program asks of package link stands here and in listen.
type ours struct{ *link.Link }

func (l ours) disturb(word string, n int64) (func() error, error) {
	var heal link.Heal
	var err error
	ms := time.Duration(n) * time.Millisecond
	switch word {
	case "delay":
		heal, err = l.Delay(link.Delay{On: link.On{ID: "f"}, Dir: link.ToServer, By: ms})
	case "jitter":
		heal, err = l.Delay(link.Delay{On: link.On{ID: "f", Seed: 7}, Dir: link.ToServer, By: ms, Jitter: ms * 2 / 5})
	case "limit":
		heal, err = l.Limit(link.Bandwidth{On: link.On{ID: "f"}, Dir: link.ToServer, Rate: n})
	case "cut":
		heal, err = l.CutOff(link.Cut{On: link.On{ID: "f"}})
	default:
		err = fmt.Errorf("no fault %q", word)
	}
	return func() error { return heal(context.Background()) }, err
}

// theirs is a proxy of Toxiproxy's.
type theirs struct{ *toxiproxy.Proxy }

func (p theirs) disturb(word string, n int64) (func() error, error) {
	var text string
	switch word {
	case "delay":
		text = fmt.Sprintf(`{"type":"latency","stream":"upstream","attributes":{"latency":%d}}`, n)
	case "jitter":
		text = fmt.Sprintf(`{"type":"latency","stream":"upstream","attributes":{"latency":%d,"jitter":%d}}`, n, n*2/5)
	case "limit":
		text = fmt.Sprintf(`{"type":"bandwidth","stream":"upstream","attributes":{"rate":%d}}`, n/1000)
	case "cut":
		text = `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`
	default:
		return nil, fmt.Errorf("no fault %q", word)
	}
	var toxic *toxics.ToxicWrapper
	toxic, err := p.Toxics.AddToxicJson(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return func() error { return p.Toxics.RemoveToxic(context.Background(), toxic.Name) }, nil
}
