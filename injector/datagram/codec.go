package datagram

import "github.com/firedrill-dev/firedrill/injector/message"

// codec parses the datagrams of a protocol.
type codec struct {
	read func(b []byte, d *message.Datagram) // sets the topics of a datagram; must not retain b
	// answer generates an error as the answer to a question; nil if rules cannot ask for it.
	answer func(question []byte, code string) ([]byte, error)
	opaque bool // the protocol is unknown, and read only computes a digest
	// headerLen is how many bytes at the beginning are not corrupted, unless there are no others.
	headerLen int
}

// codecs returns the codecs, by the names of their protocols in message.Protocols.
func codecs() map[string]codec {
	return map[string]codec{
		"dns":    {read: readDNS, answer: answerDNS, headerLen: dnsHeader},
		"statsd": {read: readStatsD},
		"udp":    {read: readAny, opaque: true},
	}
}
