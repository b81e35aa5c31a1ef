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

// thereAndBack keeps a few datagrams of each client under way, so that no buffer is ever full. What does not come back is lost.
func thereAndBack(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.lasts())
	var came, lost atomic.Int64
	err := each(16, func(int) error {
		c, err := net.Dial("udp", t.at["datagrams"])
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 2048)
		for away := 0; ; {
			for ; away < 8 && time.Now().Before(end); away++ {
				if _, err := c.Write([]byte(metric)); err != nil {
					return err
				}
			}
			if away == 0 {
				return nil
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Read(buf); err != nil {
				lost.Add(int64(away))
				return nil
			}
			away--
			came.Add(1)
		}
	})
	b.note(datagramCase, t, "datagrams/s", float64(came.Load())/time.Since(began).Seconds())
	b.cpu(datagramCase, t, "CPU us per datagram", before, float64(came.Load()), 1e6)
	b.note(datagramCase, t, "lost", float64(lost.Load()))
	return err
}

// flood sends as fast as it can, and finds where those are that did not arrive: the kernel drops where a socket has no room, which nobody else can know.
func flood(b *bench, t *target) error {
	arrived := func() (n int64, err error) {
		text, err := b.counts.ask("tell")
		if err == nil {
			n, err = strconv.ParseInt(text, 10, 64)
		}
		return n, err
	}
	server := b.targets[0].at["datagrams"] // direct
	first, err := arrived()
	if err != nil {
		return err
	}
	drops := func() int64 {
		if t.name == direct {
			return dropped(server)
		}
		return dropped(server, t.at["datagrams"])
	}
	toldBefore, err := t.told()
	if err != nil {
		return err
	}
	dropsBefore, began := drops(), time.Now()
	end := began.Add(b.lasts())
	var sent atomic.Int64
	err = each(2, func(int) error {
		c, err := net.Dial("udp", t.at["datagrams"])
		if err != nil {
			return err
		}
		defer c.Close()
		for time.Now().Before(end) {
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
	var came, kernel, lost int64
	for wait := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) { // what is under way arrives, or is dropped
		if came, err = arrived(); err != nil {
			return err
		}
		came, kernel = came-first, drops()-dropsBefore
		if lost = sent.Load() - came - kernel; lost == 0 || time.Now().After(wait) {
			break
		}
	}
	b.note(floodCase, t, "datagrams/s", float64(came)/took)
	b.note(floodCase, t, "sent/s", float64(sent.Load())/took)
	if !exists(udpTable) {
		return nil // nobody tells what the kernel dropped
	}
	b.note(floodCase, t, "dropped by the kernel", float64(kernel))
	b.note(floodCase, t, "lost otherwise", float64(lost))
	told, err := t.told()
	if t.name == "firedrill" {
		b.note(floodCase, t, "unattributed, as the link tells it", told-toldBefore)
		b.note(floodCase, t, "dropped and not told by the link", float64(kernel)-(told-toldBefore))
	}
	return err
}

// told is the loss since it was opened that a link of ours tells, and that no fault did; 0 of other targets.
func (t *target) told() (float64, error) {
	if t.name != "firedrill" {
		return 0, nil
	}
	text, err := t.stats[len(t.stats)-1].ask("tell")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// udpTable is what Linux tells of its sockets.
const udpTable = "/proc/net/udp"

// dropped is what the kernel has dropped at the sockets of these addresses, for want of room.
func dropped(addrs ...string) (n int64) {
	table, _ := os.ReadFile(udpTable)
	for line := range strings.Lines(string(table)) {
		words := strings.Fields(line)
		for _, addr := range addrs {
			port, _ := strconv.Atoi(port4(addr))
			if len(words) > 12 && strings.HasSuffix(words[1], fmt.Sprintf(":%04X", port)) {
				drops, _ := strconv.ParseInt(words[12], 10, 64)
				n += drops
			}
		}
	}
	return n
}
