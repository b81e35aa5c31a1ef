//go:build !unix

package datagram

import "net"

// receiver reads datagrams of a connected socket into borrowed buffers. The caller gives them back.
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
