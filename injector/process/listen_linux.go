package process

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socket is a listening socket, or a bound one for UDP.
type socket struct {
	at    netip.AddrPort
	inode string
}

// openSockets returns the listening sockets of a network. The caller must not change the slice.
func openSockets(network string) []socket {
	if network == "udp" {
		return udpSockets.get()
	}
	return tcpSockets.get()
}

var (
	tcpSockets = listing[[]socket]{read: func() []socket {
		if all, err := listeningTCP(); err == nil {
			return all
		}
		return readProcNetwork("tcp")
	}}
	udpSockets = listing[[]socket]{read: func() []socket { return readProcNetwork("udp") }}
)

// readProcNetwork reads the listening sockets of a network from /proc.
func readProcNetwork(network string) []socket {
	var all []socket
	for _, name := range []string{network, network + "6"} {
		file, err := os.Open("/proc/net/" + name)
		if err != nil {
			continue
		}
		all = append(all, readSockets(file, network)...)
		_ = file.Close()
	}
	return all
}

// readSockets parses a table of sockets. The kernel lists listening TCP sockets before all others.
// There may be very many others, which are not read.
func readSockets(table io.Reader, network string) []socket {
	state := "0A" // LISTEN
	if network == "udp" {
		state = "07" // bound and not connected
	}
	var all []socket
	lines := bufio.NewScanner(table)
	lines.Scan() // header
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 10 {
			continue
		}
		if got := string(fields[3]); got != state {
			if network == "tcp" && got != "03" { // SYN_RECV: before Linux 4.4 these are listed with their listening socket
				break
			}
			continue
		}
		if at, ok := parseAddress(string(fields[1])); ok {
			all = append(all, socket{at: at, inode: string(fields[9])})
		}
	}
	return all
}

// parseAddress parses "0100007F:1F90". The words of the address are in host byte order, which is
// little-endian on all supported systems.
func parseAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	ip, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), ok && err == nil
}

// serves reports whether connections to the endpoint may reach the socket.
func (s socket) serves(e Endpoint) bool {
	host, port, err := net.SplitHostPort(e.Address)
	if err != nil || port != strconv.Itoa(int(s.at.Port())) {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || ip.Unmap() == s.at.Addr() || s.at.Addr().IsUnspecified() || ip.IsUnspecified()
}

// listening returns what listens at an endpoint. f is nil if the service is not running. A socket
// shared by several processes counts as the service's if a member has it.
func listening(e Endpoint, f *family) listeners {
	inodes := socketsAt(e)
	l := listeners{any: len(inodes) > 0}
	if !l.any {
		return l
	}
	for _, m := range f.alive() {
		held, err := socketsOf(m.pid)
		l.hidden = l.hidden || os.IsPermission(err)
		for _, inode := range held {
			if inodes[inode] {
				l.members = true
				delete(inodes, inode)
			}
		}
	}
	if len(inodes) == 0 {
		return l
	}
	l.setOthers(f.alive(), holders(inodes))
	return l
}

// socketsAt returns the inodes of the sockets that serve an endpoint.
func socketsAt(e Endpoint) map[string]bool {
	inodes := map[string]bool{}
	for _, s := range openSockets(e.Network) {
		if s.serves(e) {
			inodes[s.inode] = true
		}
	}
	return inodes
}

// holders returns the processes that have one of the sockets open, by PID.
func holders(inodes map[string]bool) map[int]string {
	found := map[int]string{}
	for pid := range allProcesses() {
		held, _ := socketsOf(pid)
		if slices.ContainsFunc(held, func(inode string) bool { return inodes[inode] }) {
			found[pid] = command(pid)
		}
	}
	return found
}

// sharing lists running processes outside a family that have a socket of the endpoint open.
func sharing(e Endpoint, f *family) []string {
	var l listeners
	found := holders(socketsAt(e))
	for pid := range found {
		if threadsStopped(pid) {
			delete(found, pid)
		}
	}
	l.setOthers(f.alive(), found)
	return l.others
}

// socketsOf returns the inodes of a process's sockets. If the first thread of the process has exited,
// /proc lists open files only under the remaining threads.
func socketsOf(pid int) ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if len(files) == 0 {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/fd", pid))
		for _, thread := range threads {
			if more, e := os.ReadDir(thread); len(more) > 0 {
				dir, files, err = thread, more, e
				break
			}
		}
	}
	var inodes []string
	for _, f := range files {
		target, _ := os.Readlink(dir + "/" + f.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes, err
}

// listeningAddresses returns the TCP addresses at which members listen.
func listeningAddresses(members []member) []string {
	held := map[string]bool{}
	for _, m := range members {
		inodes, _ := socketsOf(m.pid)
		for _, inode := range inodes {
			held[inode] = true
		}
	}
	var at []string
	for _, s := range openSockets("tcp") {
		if held[s.inode] && !slices.Contains(at, s.at.String()) {
			at = append(at, s.at.String())
		}
	}
	return at
}

// Listening returns the TCP ports that programs of this machine listen at and that a connection to 127.0.0.1 reaches, in
// order. Programs of other users may be missing.
func Listening() (all []Listener) {
	ports := map[string]uint16{} // by inode
	for _, s := range openSockets("tcp") {
		if ip := s.at.Addr(); ip.IsLoopback() || ip.IsUnspecified() {
			ports[s.inode] = s.at.Port()
		}
	}
	found := map[uint16]bool{}
	for pid := range allProcesses() {
		held, _ := socketsOf(pid)
		for _, inode := range held {
			port, listens := ports[inode]
			if !listens || found[port] {
				continue
			}
			found[port] = true
			program, _, _ := strings.Cut(strings.TrimPrefix(command(pid), `"`), `"`) // without the PID
			all = append(all, Listener{port, program})
		}
	}
	slices.SortFunc(all, func(a, b Listener) int { return int(a.Port) - int(b.Port) })
	return all
}
