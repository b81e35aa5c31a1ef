//go:build !unix

package datagram

import "net"

// receiver returns a function that reads a datagram of a connected socket into a pooled buffer. The caller
// returns the buffer.
func receiver(c *net.UDPConn) func() (buf *[]byte, n int, err error) {
	return func() (*[]byte, int, error) {
		buf := buffers.Get().(*[]byte)
		n, err := c.Read(*buf)
		if err != nil {
			buffers.Put(buf)
		}
		return buf, n, err
	}
}
