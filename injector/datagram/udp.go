package datagram

import (
	"hash/fnv"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// readAny identifies a datagram of an unknown protocol by a digest, so that a retransmission is recognized.
func readAny(b []byte, d *message.Datagram) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	d.Op, d.Key = anyOp, strconv.FormatUint(h.Sum64(), 16)
}

// anyOp is the operation of a datagram of an unknown protocol.
const anyOp = "datagram"
