package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const metric = "requests.total:1|c|#route:orders,code:200"

// datagramRoundTrips keeps only a few datagrams of each client in flight, so that no buffer overflows. Datagrams that do
// not return count as lost.
func datagramRoundTrips(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.roundTime())
	var returned, lost atomic.Int64
	err := concurrently(16, func(int) error {
		c, err := net.Dial("udp", t.addrs["datagrams"])
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 2048)
		for inFlight, first := 0, true; ; first = false { // at least once, also on a busy machine
			for ; inFlight < 8 && (first || time.Now().Before(end)); inFlight++ {
				if _, err := c.Write([]byte(metric)); err != nil {
					return err
				}
			}
			if inFlight == 0 {
				return nil
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Read(buf); err != nil {
				lost.Add(int64(inFlight))
				return nil
			}
			inFlight--
			returned.Add(1)
		}
	})
	b.add(datagramCase, t, "datagrams/s", float64(returned.Load())/time.Since(began).Seconds())
	b.addCPU(datagramCase, t, "CPU us per datagram", before, float64(returned.Load()), 1e6)
	b.add(datagramCase, t, "lost", float64(lost.Load()))
	return err
}

// datagramFlood sends as fast as possible and accounts for the datagrams that did not arrive. The kernel drops datagrams
// for which a socket buffer has no room.
func datagramFlood(b *bench, t *target) error {
	arrived := func() (n int64, err error) {
		text, err := b.datagrams.ask("count")
		if err == nil {
			n, err = strconv.ParseInt(text, 10, 64)
		}
		return n, err
	}
	server := b.targets[0].addrs["datagrams"] // direct
	first, err := arrived()
	if err != nil {
		return err
	}
	drops := func() int64 {
		if t.name == direct {
			return dropped(server)
		}
		return dropped(server, t.addrs["datagrams"])
	}
	reportedBefore, err := t.reportedLoss()
	if err != nil {
		return err
	}
	dropsBefore, began := drops(), time.Now()
	end := began.Add(b.roundTime())
	var sent atomic.Int64
	err = concurrently(2, func(int) error {
		c, err := net.Dial("udp", t.addrs["datagrams"])
		if err != nil {
			return err
		}
		defer c.Close()
		for first := true; first || time.Now().Before(end); first = false {
			for range 16 {
				if _, err := c.Write([]byte("!" + metric)); err != nil {
					return err
				}
				sent.Add(1)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	var received, kernel, lost int64
	for wait := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) { // until datagrams in flight have arrived or were dropped
		if received, err = arrived(); err != nil {
			return err
		}
		received, kernel = received-first, drops()-dropsBefore
		if lost = sent.Load() - received - kernel; lost == 0 || time.Now().After(wait) {
			break
		}
	}
	b.add(floodCase, t, "datagrams/s", float64(received)/took)
	b.add(floodCase, t, "sent/s", float64(sent.Load())/took)
	if !exists(udpTable) {
		return nil // the kernel's drops are not known on this system
	}
	b.add(floodCase, t, "dropped by the kernel", float64(kernel))
	b.add(floodCase, t, "lost otherwise", float64(lost))
	reported, err := t.reportedLoss()
	if t.name == "firedrill" {
		b.add(floodCase, t, "unattributed, as reported by the link", reported-reportedBefore)
		b.add(floodCase, t, "dropped and not reported by the link", float64(kernel)-(reported-reportedBefore))
	}
	return err
}

// reportedLoss returns the number of datagrams that a Firedrill link has reported as lost without a fault since it was
// opened. It returns 0 for other targets.
func (t *target) reportedLoss() (float64, error) {
	if t.name != "firedrill" {
		return 0, nil
	}
	text, err := t.children[len(t.children)-1].ask("count")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// udpTable is Linux's list of UDP sockets.
const udpTable = "/proc/net/udp"

// dropped returns how many datagrams the kernel has dropped at the sockets of these addresses.
func dropped(addrs ...string) (n int64) {
	table, _ := os.ReadFile(udpTable)
	for line := range strings.Lines(string(table)) {
		words := strings.Fields(line)
		for _, addr := range addrs {
			port, _ := strconv.Atoi(portOf(addr))
			if len(words) > 12 && strings.HasSuffix(words[1], fmt.Sprintf(":%04X", port)) {
				drops, _ := strconv.ParseInt(words[12], 10, 64)
				n += drops
			}
		}
	}
	return n
}
