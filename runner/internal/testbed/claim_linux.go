package testbed

import (
	"io"
	"net"
	"strconv"
)

// claimPort returns an error if another scenario on this machine uses the port. The claim lasts until
// it is closed or this process ends. It is an abstract Unix socket: such names are known in the network
// namespace, as ports are, and to all users.
func claimPort(port int) (claim io.Closer, err error) {
	return net.Listen("unix", "@firedrill-port-"+strconv.Itoa(port))
}
