package datagram

import "github.com/firedrill-dev/firedrill/injector/message"

// codec understands the datagrams of a protocol.
type codec struct {
	read   func(b []byte, d *message.Datagram)                // tells what a datagram is about; it keeps nothing of b
	answer func(question []byte, code string) ([]byte, error) // answers a question with an error; nil where rules cannot ask for it
	head   int                                                // bytes that a corrupted datagram keeps as they are, where it has more
}

// codecs are the protocols of datagrams, by their names in message.Protocols.
func codecs() map[string]codec {
	return map[string]codec{
		"dns":    {read: readDNS, answer: answerDNS, head: dnsHeader},
		"statsd": {read: readStatsD},
		"udp":    {read: readAny},
	}
}
