//go:build !linux

package testbed

import (
	"errors"
	"io"
	"sync"
)

var claims sync.Map // of ports

// claimPort returns an error if another scenario of this process uses the port; what other processes use
// is not known on this system. The claim lasts until it is closed.
func claimPort(port int) (io.Closer, error) {
	if _, claimed := claims.LoadOrStore(port, true); claimed {
		return nil, errors.New("another scenario uses the port")
	}
	return portClaim(port), nil
}

type portClaim int

func (c portClaim) Close() error {
	claims.Delete(int(c))
	return nil
}
