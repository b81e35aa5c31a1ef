package datagram

import (
	"bufio"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Loss counts the datagrams lost since the link was opened for reasons other than faults.
type Loss struct {
	Known     bool  // false if the kernel has no counters (on Linux it has); Link, Server and Elsewhere are then invalid
	Link      int64 // dropped by the kernel at the link's sockets, in both directions
	Server    int64 // dropped at the dependency's socket, if it is on this machine
	Elsewhere int64 // dropped for lack of buffers at other sockets of this machine, including the clients'
	Unsent    int64 // datagrams that could not be written
	Evicted   int64 // clients forgotten because there were too many; answers to them may be lost
}

// Unattributed returns the number of datagrams that may be missing from the effects.
func (l Loss) Unattributed() int64 { return l.Link + l.Server + l.Unsent }

// Loss reads the kernel's counters.
func (l *Link) Loss() Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	loss := l.kernel.loss()
	for _, s := range l.sessions {
		loss.Link += drops(s.up)
	}
	if l.conn != nil {
		loss.Link += drops(l.conn)
	}
	loss.Elsewhere = max(0, loss.Elsewhere-loss.Link-loss.Server)
	loss.Unsent, loss.Evicted = l.failed.Load(), l.evicted.Load()
	return loss
}

// kernel records the kernel's counters when the link was opened, and the drops of sockets that have been closed
// since.
type kernel struct {
	server             netip.AddrPort
	isLocal            bool // the server's address belongs to this machine
	dropsBefore        map[string]int64
	bufferErrorsBefore int64

	mu     sync.Mutex
	closed int64
}

func (k *kernel) open(server netip.AddrPort) {
	k.server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	k.isLocal = isLocal(k.server.Addr())
	k.dropsBefore, _ = k.sockets()
	k.bufferErrorsBefore, _ = bufferErrors()
}

// countClosed counts the drops of a socket that is about to be closed.
func (k *kernel) countClosed(c *net.UDPConn) {
	n := drops(c)
	k.mu.Lock()
	k.closed += n
	k.mu.Unlock()
}

// loss returns the drops. Elsewhere is the total of the machine.
func (k *kernel) loss() Loss {
	now, err := k.sockets()
	all, failed := bufferErrors()
	k.mu.Lock()
	defer k.mu.Unlock()
	l := Loss{Known: err == nil && failed == nil, Link: k.closed, Elsewhere: max(0, all-k.bufferErrorsBefore)}
	for inode, n := range now {
		l.Server += max(0, n-k.dropsBefore[inode])
	}
	return l
}

// isLocal reports whether an address belongs to this machine.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip
	})
}

// sockets returns the drops of each socket of the server, by inode.
func (k *kernel) sockets() (map[string]int64, error) {
	found := map[string]int64{}
	if !k.isLocal {
		return found, nil
	}
	read := false
	for _, name := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		err := eachLine(name, func(f []string) {
			if len(f) < 13 {
				return
			}
			at, ok := socketAddr(f[1])
			if n, err := strconv.ParseInt(f[12], 10, 64); ok && err == nil && at.Port() == k.server.Port() && (at.Addr() == k.server.Addr() || at.Addr().IsUnspecified()) {
				found[f[9]] = n
			}
		})
		read = read || err == nil
	}
	if !read {
		return nil, errors.ErrUnsupported
	}
	return found, nil
}

// socketAddr parses "0100007F:1F90". The bytes within each four-byte word are assumed to be in little-endian
// order.
func socketAddr(s string) (netip.AddrPort, bool) {
	ip, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(ip)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// bufferErrors returns the number of datagrams that this machine has dropped for lack of buffers.
func bufferErrors() (total int64, err error) {
	column := -1
	err = eachLine("/proc/net/snmp", func(f []string) {
		switch {
		case f[0] != "Udp:":
		case column < 0:
			column = slices.Index(f, "RcvbufErrors")
		case column < len(f):
			n, _ := strconv.ParseInt(f[column], 10, 64)
			total += n
		}
	})
	_ = eachLine("/proc/net/snmp6", func(f []string) {
		if f[0] == "Udp6RcvbufErrors" && len(f) == 2 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			total += n
		}
	})
	return total, err
}

// eachLine calls each with the words of every line that is not empty.
func eachLine(name string, each func([]string)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 0 {
			each(words)
		}
	}
	return lines.Err()
}
