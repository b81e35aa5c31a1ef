package datagram

import (
	"errors"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// codec parses the datagrams of a protocol.
type codec struct {
	message.Protocol
	read func(b []byte, d *message.Message) // sets the topics of a datagram; must not retain b
	// answer generates an error as the answer to a question; nil if rules cannot ask for it.
	answer func(question []byte, code string) ([]byte, error)
	opaque bool // the protocol is unknown, and read only computes a digest
	// headerLen is how many bytes at the beginning are not corrupted, unless there are no others.
	headerLen int
	overTCP   bool // the port is also opened for TCP, which is relayed as bytes
}

// codecs is the table of protocols over UDP. Rules act on whole datagrams.
func codecs() []codec { return []codec{dnsCodec(), statsdCodec(), udpCodec()} }

// Protocols returns the rows of the protocols over UDP.
func Protocols() []message.Protocol {
	var all []message.Protocol
	for _, c := range codecs() {
		all = append(all, c.Protocol)
	}
	return all
}

// actions returns what rules can do to datagrams of any protocol.
func actions() []message.Action {
	return []message.Action{message.Delay, message.LoseRequest, message.Twice, message.Reorder, message.Corrupt, message.Truncate}
}

// allow checks what all protocols over UDP require of a rule.
func allow(r message.Rule) error {
	switch {
	case r.EndWith != "":
		return fmt.Errorf("lost, then %s: a datagram has no connection that could end", r.EndWith)
	case r.Second:
		return errors.New("the second answer returned: nothing tells which answer of a datagram is whose, so both return")
	}
	return nil
}

// matchDotted matches "requests.total", "requests.*" (any rest) and "requests.{route}.total".
func matchDotted(template, name string) bool {
	if !strings.ContainsAny(template, "*{") {
		return template == name
	}
	return message.MatchPath(dotsToSlashes.Replace(template), dotsToSlashes.Replace(name))
}

// dotsToSlashes converts a dotted name to a path, for the functions that match paths.
var dotsToSlashes = strings.NewReplacer(".", "/")
