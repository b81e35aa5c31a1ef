package source

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// UnixPrefix marks an address as the path of a Unix socket.
const UnixPrefix = "unix:"

// parseUnix parses "unix:/run/db.sock". ok is false if s is another kind of address.
func parseUnix(s string) (at string, ok bool, err error) {
	file, ok := strings.CutPrefix(s, UnixPrefix)
	if !ok {
		return s, false, nil
	}
	if !path.IsAbs(file) || path.Clean(file) == "/" {
		return s, true, Mistakef(codes.BadValue, "write an absolute path, since services run in folders of their own: \"unix:/run/db.sock\"", "%q is not an address", s)
	}
	return s, true, nil
}

// ParseAddress parses "http://127.0.0.1:8080" and "127.0.0.1:8080" into host and port, and returns
// "unix:/run/db.sock" unchanged. With an error, it returns s.
func ParseAddress(s string) (string, error) {
	if at, ok, err := parseUnix(s); ok {
		return at, err
	}
	bad := Mistakef(codes.BadValue, "write host and port, as in \"127.0.0.1:8080\"", "%q is not an address", s)
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"http", "tcp", "udp"}, u.Scheme) || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
			return s, bad
		}
		s = u.Host
	}
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " \t/") {
		return s, bad
	}
	return s, nil
}
