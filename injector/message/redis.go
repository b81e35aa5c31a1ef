package message

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// redis follows RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/), pipelines included. A message is a command with its arguments, and
// its path is the first of them, the key. Answers come in the order of the commands; what a subscription brings is a message of its own.
//
// Transactions, blocking commands and subscriptions are immune to all but delays and losses: a command doubled or refused within them would leave the
// server in a state that no server is ever in. Cluster mode is not followed: its answers name addresses around the link.
type redis struct {
	up, down resp
	multi    bool // as written to the server
	watches  bool // subscribed
	mute     bool // CLIENT REPLY OFF: nothing is answered
	skips    int  // CLIENT REPLY SKIP: so many more commands owe no answer
	streams  bool // MONITOR, SYNC: the server talks of its own accord
}

func openRedis(Config) dialect { return &redis{down: resp{answers: true}} }

func (d *redis) feed(dir Dir, b []byte) (int, bool, error) {
	if dir == ToServer {
		return d.up.feed(b)
	}
	return d.down.feed(b)
}

// Commands that have a place of their own.
var (
	redisSubscribes = words("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE")
	redisExempt     = words("AUTH HELLO SELECT CLIENT RESET QUIT READONLY READWRITE ASKING COMMAND")
	redisBlocking   = words("BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF")
	redisStreams    = words("MONITOR SYNC PSYNC")
	redisPushed     = words("MESSAGE PMESSAGE SMESSAGE INVALIDATE")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		set[w] = true
	}
	return set
}

func (d *redis) look(dir Dir, raw []byte, front *frame) frame {
	if dir == ToClient {
		return d.lookDown(raw, front)
	}
	args, last := bulks(raw)
	f := frame{kind: isRequest, settles: true, payload: last}
	if len(args) == 0 {
		f.method = strings.ToUpper(string(bytes.TrimSpace(raw)))
		f.immune = "an inline command"
		if f.method == "" {
			f.kind = isControl
		}
		f.method, _, _ = strings.Cut(f.method, " ")
		return f
	}
	f.method = strings.ToUpper(string(args[0]))
	if len(args) > 1 {
		f.path = string(args[1])
	}
	switch {
	case redisExempt[f.method], redisStreams[f.method]:
		f.exempt = true
	case redisSubscribes[f.method]:
		f.immune = "a subscription"
	case redisBlocking[f.method], strings.HasPrefix(f.method, "XREAD") && bytes.Contains(bytes.ToUpper(raw), []byte("\r\nBLOCK\r\n")):
		f.immune = "a blocking command"
	case d.multi, f.method == "MULTI", f.method == "EXEC", f.method == "DISCARD", f.method == "WATCH":
		f.immune = "part of a transaction"
	}
	if d.mute || d.skips > 0 || (f.method == "CLIENT" && len(args) > 2 && strings.EqualFold(string(args[1]), "REPLY") && !strings.EqualFold(string(args[2]), "ON")) {
		f.kind = isControl
	}
	if f.method == "CLIENT" && len(args) > 2 {
		f.path = strings.ToUpper(string(args[1]) + " " + string(args[2]))
	}
	return f
}

func (d *redis) lookDown(raw []byte, front *frame) frame {
	push := raw[0] == '>'
	if push || (d.watches && raw[0] == '*') {
		args, last := bulks(raw)
		if len(args) > 0 {
			word := strings.ToUpper(string(args[0]))
			f := frame{method: word, payload: last}
			if len(args) > 1 {
				f.path = string(args[1])
			}
			switch {
			case redisPushed[word]:
				f.kind = isOneWay
				return f
			case redisSubscribes[word]:
				if front == nil || !redisSubscribes[front.method] {
					return f // one confirmation a channel; the first has settled the command
				}
				return frame{kind: isAnswer, settles: true, says: strings.ToLower(word)}
			}
		}
	}
	if push {
		return frame{}
	}
	return frame{kind: isAnswer, settles: true, says: respSays(raw)}
}

func (d *redis) sent(f *frame) {
	if d.skips > 0 {
		d.skips--
	}
	switch f.method {
	case "MULTI":
		d.multi = true
	case "EXEC", "DISCARD":
		d.multi = false
	case "RESET":
		d.multi, d.watches, d.mute = false, false, false
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		d.watches = true
	case "CLIENT":
		switch f.path {
		case "REPLY OFF":
			d.mute = true
		case "REPLY ON":
			d.mute = false
		case "REPLY SKIP":
			d.skips = 1
		}
	default:
		d.streams = d.streams || redisStreams[f.method]
	}
}

// rests implements resting.
func (d *redis) rests() bool { return !d.multi && !d.watches && !d.mute && d.skips == 0 && !d.streams }

// trim implements trimmer: the last bulk string is cut.
func (*redis) trim(f frame, raw []byte, keep int) []byte {
	lo, hi := f.payload[0], f.payload[1]
	header := bytes.LastIndexByte(raw[:lo], '$')
	out := append([]byte(nil), raw[:header]...)
	out = fmt.Appendf(out, "$%d\r\n", keep)
	out = append(out, raw[lo:lo+keep]...)
	return append(out, raw[hi:]...)
}

// redisErrors are what a server says of its own accord (src/server.c, createSharedObjects).
var redisErrors = map[string]string{
	"BUSY":        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
	"CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
	"LOADING":     "LOADING Redis is loading the dataset in memory",
	"MASTERDOWN":  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
	"NOREPLICAS":  "NOREPLICAS Not enough good replicas to write.",
	"OOM":         "OOM command not allowed when used memory > 'maxmemory'.",
	"READONLY":    "READONLY You can't write against a read only replica.",
	"TRYAGAIN":    "TRYAGAIN Multiple keys request during rehashing of slot",
}

// refuse implements refuser.
func (*redis) refuse(code string, _ frame) ([]byte, error) {
	text, ok := redisErrors[strings.ToUpper(code)]
	if !ok {
		return nil, fmt.Errorf("%q is no error that Redis answers with: known are %s", code, strings.Join(slices.Sorted(maps.Keys(redisErrors)), ", "))
	}
	return []byte("-" + text + "\r\n"), nil
}

func allowRedis(r Rule) error {
	switch {
	case r.Do == Answer:
		_, err := (*redis)(nil).refuse(r.Code, frame{})
		return err
	case r.Dir == ToClient && (r.Do == Twice || r.Do == Reorder) && !r.Even:
		return fmt.Errorf("%s %s: Redis never says a published message twice or out of order on one connection", r.Do, r.Dir)
	}
	return nil
}
