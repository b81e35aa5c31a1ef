// Package toxiproxy stands in for Toxiproxy's server where its own tests of the API start it: they then ask the server at
// TOXIPROXY_URL, which runs already. The test of firedrill links up adds them to this folder.
package toxiproxy

import (
	"errors"
	"os"

	"github.com/Shopify/toxiproxy/v2/client"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// ApiServer is the server that runs already.
type ApiServer struct{ Collection collection }

type metrics struct{}

// NewMetricsContainer returns nothing of use.
func NewMetricsContainer(*prometheus.Registry) metrics { return metrics{} }

// NewServer returns the server that runs already.
func NewServer(metrics, zerolog.Logger) *ApiServer { return &ApiServer{} }

// Listen does nothing: the server listens.
func (*ApiServer) Listen(string) {}

type collection struct{}

// Clear deletes all proxies.
func (collection) Clear() error {
	proxies, err := toxiproxy.NewClient(os.Getenv("TOXIPROXY_URL")).Proxies()
	all := []error{err}
	for _, p := range proxies {
		all = append(all, p.Delete())
	}
	return errors.Join(all...)
}
