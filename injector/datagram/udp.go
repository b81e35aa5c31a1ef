package datagram

import (
	"errors"
	"hash/fnv"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func udpCodec() codec {
	return codec{
		Protocol: message.Protocol{
			Name: "udp", Means: "datagrams of any kind", Unit: "messages", UDP: true,
			Actions: actions(), Matches: func(string, string) bool { return false }, Class: func(string) string { return "" }, Allow: allowUDP,
		},
		read: readAny, opaque: true,
	}
}

func allowUDP(r message.Rule, _ message.Framing) error {
	if r.Match.Method != "" || r.Match.Path != "" {
		return errors.New("datagrams of any kind have no operations to choose by: declare the protocol dns or statsd, or choose a share or a count")
	}
	return allow(r)
}

// readAny identifies a datagram of an unknown protocol by a digest, so that a retransmission is recognized.
func readAny(b []byte, d *message.Message) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	d.Op, d.Key = anyOp, strconv.FormatUint(h.Sum64(), 16)
}

// anyOp is the operation of a datagram of an unknown protocol.
const anyOp = "datagram"
