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

// injectable is a proxy that supports faults. name is delay, jitter, limit or cut, and n is in milliseconds or bytes per
// second.
type injectable interface {
	inject(name string, n int64) (heal func() error, err error)
}

// counter is a child that counts datagrams: a server those received, a link those lost without a fault.
type counter interface{ count() int64 }

// serve runs a child. It prints its address and then executes commands from standard input, one a line: stats, count,
// heal, or the name of a fault and a number.
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
		case "count":
			fmt.Println(proxy.(counter).count())
			continue
		case "heal":
			err = heal()
		default:
			n, _ := strconv.ParseInt(number, 10, 64)
			heal, err = proxy.(injectable).inject(word, n)
		}
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("ok", time.Since(began).Nanoseconds())
	}
}

// stats returns the number of goroutines and the bytes of heap and stacks in use.
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
		return accept(func(c *net.TCPConn) { relay(c, args[0], pooledCopy) })
	case "io.Copy":
		return accept(func(c *net.TCPConn) {
			relay(c, args[0], func(to, from *net.TCPConn) { _, _ = io.Copy(to, from) })
		})
	case "firedrill":
		l, err := link.Open(link.Config{Name: "a -> b", Upstream: args[0]})
		if err != nil {
			return "", nil, err
		}
		return l.Addr(), firedrillLink{l}, nil
	case "toxiproxy":
		server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
		p := toxiproxy.NewProxy(server, "bench", "127.0.0.1:0", args[0])
		if err := p.Start(); err != nil {
			return "", nil, err
		}
		return p.Listen, toxiproxyProxy{p}, nil
	}
	return listenMessage(kind, args)
}

// onlyReader hides methods that io.Copy would use to copy with splice.
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

// relay is the simplest possible proxy.
func relay(c *net.TCPConn, upstream string, copyAll func(to, from *net.TCPConn)) {
	raw, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	up := raw.(*net.TCPConn)
	defer func() { _ = up.Close() }()
	var both sync.WaitGroup
	both.Go(func() { copyAll(up, c); _ = up.CloseWrite() })
	copyAll(c, up)
	_ = c.CloseWrite()
	both.Wait()
}

// echo does not use io.Copy, which would hold a pipe for each of ten thousand connections.
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

func pooledCopy(to, from *net.TCPConn) {
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

// firedrillLink is a link of package link. It and listen are this program's only uses of the package's API for byte
// streams.
type firedrillLink struct{ *link.Link }

func (l firedrillLink) inject(name string, n int64) (func() error, error) {
	var heal link.Heal
	var err error
	ms := time.Duration(n) * time.Millisecond
	switch name {
	case "delay":
		heal, err = l.Delay(link.Delay{On: link.On{ID: "f"}, Dir: link.ToServer, By: ms})
	case "jitter":
		heal, err = l.Delay(link.Delay{On: link.On{ID: "f", Seed: 7}, Dir: link.ToServer, By: ms, Jitter: ms * 2 / 5})
	case "limit":
		heal, err = l.Limit(link.Bandwidth{On: link.On{ID: "f"}, Dir: link.ToServer, Rate: n})
	case "cut":
		heal, err = l.CutOff(link.Cut{On: link.On{ID: "f"}})
	default:
		err = fmt.Errorf("no fault %q", name)
	}
	return func() error { return heal(context.Background()) }, err
}

// toxiproxyProxy is an embedded Toxiproxy proxy.
type toxiproxyProxy struct{ *toxiproxy.Proxy }

func (p toxiproxyProxy) inject(name string, n int64) (func() error, error) {
	var text string
	switch name {
	case "delay":
		text = fmt.Sprintf(`{"type":"latency","stream":"upstream","attributes":{"latency":%d}}`, n)
	case "jitter":
		text = fmt.Sprintf(`{"type":"latency","stream":"upstream","attributes":{"latency":%d,"jitter":%d}}`, n, n*2/5)
	case "limit":
		text = fmt.Sprintf(`{"type":"bandwidth","stream":"upstream","attributes":{"rate":%d}}`, n/1000)
	case "cut":
		text = `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`
	default:
		return nil, fmt.Errorf("no fault %q", name)
	}
	var toxic *toxics.ToxicWrapper
	toxic, err := p.Toxics.AddToxicJson(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return func() error { return p.Toxics.RemoveToxic(context.Background(), toxic.Name) }, nil
}
