package http2_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// Without rules, each end of an HTTP/2 connection receives exactly the other's bytes and then its end, whatever
// they send.
func FuzzH2RelayChangesNoByte(f *testing.F) {
	up, down := relaytest.HTTP2Sides()
	for i := range up {
		f.Add([]byte(up[i]), []byte(down[i]), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, up, down []byte, answerFirst bool) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		up = append([]byte(relaytest.Preface), up...)
		client, server := relaytest.ConnPair(t)
		sent := make(chan struct{}, 2)
		send := func(p relaytest.Peer, text []byte) { _, _ = p.Write(text); _ = p.CloseWrite(); sent <- struct{}{} }
		go send(client, up)
		if answerFirst {
			go send(server, down)
		}
		if got := relaytest.ReadAll(t, server); !bytes.Equal(got, up) {
			t.Fatalf("the server heard %q", got)
		}
		if !answerFirst {
			go send(server, down)
		}
		if got := relaytest.ReadAll(t, client); !bytes.Equal(got, down) {
			t.Fatalf("the client heard %q", got)
		}
		<-sent
		<-sent
	})
}

// Whatever the two ends send while rules act on it, the relay terminates and its accounts add up.
func FuzzH2RelayUnderFaults(f *testing.F) {
	up, down := relaytest.HTTP2Sides()
	for i := range up {
		for do := range uint8(9) {
			f.Add([]byte(up[i]), []byte(down[i]), do)
		}
	}
	rules := []message.Rule{
		{Action: message.Delay, By: time.Millisecond}, {Action: message.LoseRequest, EndWith: message.EndSilence}, {Action: message.LoseReply, EndWith: message.EndSilence}, {Action: message.LoseReply, EndWith: message.EndHeld}, {Action: message.Answer, Status: 503},
		{Action: message.Twice}, {Action: message.Twice, Second: true}, {Action: message.Reorder, Wait: time.Millisecond}, {Action: message.Truncate},
	}
	relaytest.Set(f, http2.MaxBuffered, 4<<10)
	f.Fuzz(func(t *testing.T, up, down []byte, do uint8) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		s := relaytest.StartScript(t)
		front := relaytest.OpenLink(t, s.Addr, message.Config{})
		_, heal := front.AddRule(t, rules[int(do)%len(rules)])
		client := relaytest.Connect(t, front.Addr)
		server := s.Accept(t)
		over := make(chan struct{})
		defer close(over)
		go func() {
			for {
				select {
				case p := <-s.Conns: // of a copy
					p.Reset()
				case <-over:
					return
				}
			}
		}()
		go func() { _, _ = client.Write(append([]byte(relaytest.Preface), up...)); _ = client.CloseWrite() }()
		go func() { _, _ = server.Write(down); _ = server.CloseWrite() }()
		for _, p := range []relaytest.Peer{server, client} {
			_ = p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = io.Copy(io.Discard, p)
		}
		heal()
		server.Reset()
		client.Reset()
		front.CheckAccounts(t)
	})
}
