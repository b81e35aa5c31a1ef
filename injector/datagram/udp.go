package datagram

import (
	"hash/fnv"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// readAny tells a datagram of an unknown protocol by a digest, which recognises it when it is sent again.
func readAny(b []byte, d *message.Datagram) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	d.Op, d.Key = "datagram", strconv.FormatUint(h.Sum64(), 16)
}
