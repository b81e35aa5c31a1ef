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

// Loss is what was lost since the link was opened and what no fault did.
type Loss struct {
	Known     bool  // false where the kernel does not tell (it does on Linux): the next three say nothing then
	Link      int64 // datagrams that the kernel dropped at the link's own sockets, in both directions
	Server    int64 // and at the dependency's socket, where that is on this machine
	Elsewhere int64 // and for want of buffers at other sockets of this machine, whoever's they are; the clients' are among them
	Unsent    int64 // datagrams that could not be written
	Evicted   int64 // clients forgotten because there were too many: answers to them may be lost
}

// Unattributed is what may be missing where effects are counted.
func (l Loss) Unattributed() int64 { return l.Link + l.Server + l.Unsent }

// Loss reads what the kernel counts.
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

// kernel remembers what the kernel had counted when the link was opened, and what sockets that were closed since had dropped.
type kernel struct {
	server  netip.AddrPort
	here    bool // the server's address is one of this machine
	before  map[string]int64
	machine int64

	mu     sync.Mutex
	closed int64
}

func (k *kernel) open(server netip.AddrPort) {
	k.server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	k.here = ours(k.server.Addr())
	k.before, _ = k.sockets()
	k.machine, _ = starved()
}

// last counts the drops of a socket that is about to be closed.
func (k *kernel) last(c *net.UDPConn) {
	n := drops(c)
	k.mu.Lock()
	k.closed += n
	k.mu.Unlock()
}

// loss tells what was dropped; Elsewhere is the whole machine's.
func (k *kernel) loss() Loss {
	now, err := k.sockets()
	all, failed := starved()
	k.mu.Lock()
	defer k.mu.Unlock()
	l := Loss{Known: err == nil && failed == nil, Link: k.closed, Elsewhere: max(0, all-k.machine)}
	for inode, n := range now {
		l.Server += max(0, n-k.before[inode])
	}
	return l
}

// ours tells whether an address is one of this machine.
func ours(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip
	})
}

// sockets finds the server's sockets in the kernel's table, by inode, with what each has dropped.
func (k *kernel) sockets() (map[string]int64, error) {
	found := map[string]int64{}
	if !k.here {
		return found, nil
	}
	read := false
	for _, name := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		err := fields(name, func(f []string) {
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

// socketAddr reads "0100007F:1F90": each four bytes of the address are in the order of the machine, which is taken to be little-endian.
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

// starved is how many datagrams this machine has dropped for want of buffers.
func starved() (total int64, err error) {
	column := -1
	err = fields("/proc/net/snmp", func(f []string) {
		switch {
		case f[0] != "Udp:":
		case column < 0:
			column = slices.Index(f, "RcvbufErrors")
		case column < len(f):
			n, _ := strconv.ParseInt(f[column], 10, 64)
			total += n
		}
	})
	_ = fields("/proc/net/snmp6", func(f []string) {
		if f[0] == "Udp6RcvbufErrors" && len(f) == 2 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			total += n
		}
	})
	return total, err
}

// fields hands each line's words to each.
func fields(name string, each func([]string)) error {
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
