package message

import "context"

// Protocol is a row of the table of protocols that the relay understands.
type Protocol struct {
	Name  string // "http"
	Means string
	Do    []Do // the faults that this protocol allows
	serve func(r *Relay, ctx context.Context, client Client, dial Dial)
}

// Protocols lists them, sorted by name. A new one is a file and a row.
func Protocols() []Protocol {
	return []Protocol{
		{"http", "HTTP/1.1 (and 1.0), pipelining and upgrades included", []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder}, serveHTTP},
	}
}
