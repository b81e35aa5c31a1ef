// Package loopback keeps HTTP servers that are meant for this machine from being reached by pages of other sites: through a
// name that leads here (DNS rebinding), or from a page that sends requests here.
package loopback

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Host reports whether a host, with or without a port, is this machine: localhost or a loopback address.
func Host(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Refuse returns why a request must not be served, or "". It has to name this machine as its host. If it says which page
// sent it, that has to be a page of the same server.
func Refuse(r *http.Request) string {
	if !Host(r.Host) {
		return fmt.Sprintf("host %q: this server is only for this machine: use localhost or 127.0.0.1", r.Host)
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "http" || u.Host != r.Host {
			return fmt.Sprintf("origin %q: pages of other sites must not send requests here", origin)
		}
	}
	return ""
}

// Only serves the requests that Refuse does not refuse, and answers others with status 403.
func Only(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := Refuse(r); why != "" {
			http.Error(w, why, http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
