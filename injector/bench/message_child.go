package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/firedrill-dev/firedrill/injector/protocols"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// listenMessage starts a child of the message suite.
func listenMessage(kind string, args []string) (addr string, proxy any, err error) {
	switch kind {
	case "http":
		return accept(answerHTTP)
	case "redis":
		return accept(answerRedis)
	case "h2":
		return serveWeb(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	case "datagrams":
		return echoDatagrams()
	case "ReverseProxy":
		to := &url.URL{Scheme: "http", Host: args[0]}
		return serveWeb(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: &http.Transport{MaxIdleConnsPerHost: 64}})
	case "forwarder":
		return forwardDatagrams(args[0])
	case "relay":
		return relayMessages(args[0], args[1], args[2])
	}
	return "", nil, fmt.Errorf("no child %q", kind)
}

// relayMessages starts a Firedrill link with a message protocol.
func relayMessages(upstream, protocol, rule string) (string, any, error) {
	if protocol == "udp" {
		l, err := datagram.Open(datagram.Config{Name: "a -> b", Protocol: protocol, Upstream: upstream})
		if err != nil {
			return "", nil, err
		}
		return l.Addr(), lossCounter{l}, addRule(l.Relay(), rule)
	}
	var calls atomic.Int64
	row := protocols.All().Find(protocol)
	if row == nil {
		return "", nil, fmt.Errorf("relay %q: no such protocol", protocol)
	}
	relay, err := message.New(*row, message.Config{Link: "a -> b", Calls: func(message.Call) { calls.Add(1) }})
	if err != nil {
		return "", nil, err
	}
	l, err := link.Open(link.Config{Name: "a -> b", Upstream: upstream, Serve: func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
		relay.Serve(ctx, c, dial)
	}})
	if err != nil {
		return "", nil, err
	}
	return l.Addr(), nil, addRule(relay, rule)
}

// addRule adds a rule that never fires.
func addRule(r *message.Relay, rule string) (err error) {
	switch rule {
	case "other":
		_, err = r.Add(message.Rule{ID: "f", Action: message.LoseRequest, Count: evidence.NewCounter("calls"), Match: message.Match{Method: "PURGE"}, Share: 0.1})
	case "never":
		_, err = r.Add(message.Rule{ID: "f", Action: message.LoseRequest, Count: evidence.NewCounter("calls"), Share: 1e-15})
	}
	return err
}

// lossCounter counts the datagrams that a link lost without a fault.
type lossCounter struct{ *datagram.Link }

func (l lossCounter) count() int64 { return l.Loss().Unattributed() }

// h2cClient returns a client for HTTP/2 without TLS that does not share connections.
func h2cClient() *http.Client {
	return &http.Client{Transport: &http.Transport{Protocols: onlyH2()}}
}

func onlyH2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// serveWeb serves HTTP/1.1 and HTTP/2 without TLS.
func serveWeb(h http.Handler) (string, any, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	both := onlyH2()
	both.SetHTTP1(true)
	go func() { _ = (&http.Server{Handler: h, Protocols: both}).Serve(ln) }() //nolint:gosec // only this program connects
	return ln.Addr().String(), nil, nil
}

// answerHTTP answers the two requests of the suite: a GET without a body, and a POST with a body of 1 KiB.
func answerHTTP(c *net.TCPConn) {
	response := func(size int) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("y", size))
	}
	small, large := response(5), response(4096)
	buf := make([]byte, 8<<10)
	for have := 0; ; {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		end := bytes.Index(buf[:have], []byte("\r\n\r\n"))
		answer := small
		if buf[0] == 'P' {
			answer = large
			end += 1024
		}
		if end < 0 || have < end+4 || (buf[0] == 'P' && end < 1024) {
			continue
		}
		have = 0
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// answerRedis answers the one Redis command of the suite.
func answerRedis(c *net.TCPConn) {
	buf := make([]byte, 4<<10)
	for {
		if _, err := io.ReadFull(c, buf[:len(redisGet)]); err != nil {
			return
		}
		if _, err := io.WriteString(c, redisHas); err != nil {
			return
		}
	}
}

// arrivals counts the datagrams that are not answered.
type arrivals struct{ atomic.Int64 }

func (a *arrivals) count() int64 { return a.Load() }

// echoDatagrams returns datagrams to their sender, except those that begin with an exclamation mark, which it counts.
func echoDatagrams() (string, any, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", nil, err
	}
	n := &arrivals{}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			size, from, err := c.ReadFromUDPAddrPort(buf)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // reports an earlier datagram
			case buf[0] == '!':
				n.Add(1)
			default:
				_, _ = c.WriteToUDPAddrPort(buf[:size], from)
			}
		}
	}()
	return c.LocalAddr().String(), n, nil
}

// forwardDatagrams is the simplest possible forwarder: a socket for each client.
func forwardDatagrams(upstream string) (string, any, error) {
	to, err := net.ResolveUDPAddr("udp", upstream)
	if err != nil {
		return "", nil, err
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", nil, err
	}
	clients := map[netip.AddrPort]*net.UDPConn{}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				continue
			}
			up := clients[from]
			if up == nil {
				if up, err = net.DialUDP("udp", nil, to); err != nil {
					continue
				}
				clients[from] = up
				go func() {
					buf := make([]byte, 64<<10)
					for {
						n, err := up.Read(buf)
						if err == nil {
							_, _ = front.WriteToUDPAddrPort(buf[:n], from)
						}
					}
				}()
			}
			_, _ = up.Write(buf[:n])
		}
	}()
	return front.LocalAddr().String(), nil, nil
}
