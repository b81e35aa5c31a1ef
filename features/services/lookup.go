package services

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// newFront returns a service that looks up a different name for each request, because Go's resolver merges concurrent
// lookups of the same name.
func newFront(_ context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, c.link)
	}}
	var n atomic.Int64
	s.HandleFunc("GET /lookup", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
		defer cancel()
		found, err := resolver.LookupNetIP(ctx, "ip4", fmt.Sprintf("%d.drill.test.", n.Add(1)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, found[0])
	})
	return s, nil
}
