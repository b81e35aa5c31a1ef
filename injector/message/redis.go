package message

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// redis parses RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/), including
// pipelines. A message is a command with its arguments; its path is the first argument, the key. Answers come in
// the order of the commands; messages published to a subscription are separate messages.
//
// Only delays and losses act on transactions, blocking commands and subscriptions: a duplicated or refused
// command would leave the server in a state that cannot occur. Cluster mode is not supported: its answers
// contain addresses that bypass the link.
type redis struct {
	up, down    resp
	multi       bool // according to the commands written to the server
	subscribed  bool // subscribed
	replyOff    bool // CLIENT REPLY OFF: no command is answered
	skipReplies int  // CLIENT REPLY SKIP: number of commands without an answer
	streaming   bool // MONITOR, SYNC: the server sends on its own
}

func openRedis(Config) dialect { return &redis{down: resp{answers: true}} }

func (d *redis) feed(dir Dir, b []byte) (int, bool, error) {
	if dir == ToServer {
		return d.up.feed(b)
	}
	return d.down.feed(b)
}

// Commands with special semantics.
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

func (d *redis) inspect(dir Dir, raw []byte, front *frame) frame {
	if dir == ToClient {
		return d.inspectAnswer(raw, front)
	}
	args, last := bulks(raw)
	f := frame{kind: isRequest, final: true, payload: last}
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
	if d.replyOff || d.skipReplies > 0 || (f.method == "CLIENT" && len(args) > 2 && strings.EqualFold(string(args[1]), "REPLY") && !strings.EqualFold(string(args[2]), "ON")) {
		f.kind = isControl
	}
	if f.method == "CLIENT" && len(args) > 2 {
		f.path = strings.ToUpper(string(args[1]) + " " + string(args[2]))
	}
	return f
}

func (d *redis) inspectAnswer(raw []byte, front *frame) frame {
	push := raw[0] == '>'
	if push || (d.subscribed && raw[0] == '*') {
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
					return f // one confirmation for each channel; the first one was the answer
				}
				return frame{kind: isAnswer, final: true, detail: strings.ToLower(word)}
			}
		}
	}
	if push {
		return frame{}
	}
	f := frame{kind: isAnswer, final: true, detail: describeValue(raw)}
	f.payload, f.uncuttable = respPayload(raw)
	return f
}

func (d *redis) sent(f *frame) {
	if d.skipReplies > 0 {
		d.skipReplies--
	}
	switch f.method {
	case "MULTI":
		d.multi = true
	case "EXEC", "DISCARD":
		d.multi = false
	case "RESET":
		d.multi, d.subscribed, d.replyOff = false, false, false
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		d.subscribed = true
	case "CLIENT":
		switch f.path {
		case "REPLY OFF":
			d.replyOff = true
		case "REPLY ON":
			d.replyOff = false
		case "REPLY SKIP":
			d.skipReplies = 1
		}
	default:
		d.streaming = d.streaming || redisStreams[f.method]
	}
}

// idle implements idleReporter.
func (d *redis) idle() bool {
	return !d.multi && !d.subscribed && !d.replyOff && d.skipReplies == 0 && !d.streaming
}

// trim implements trimmer. It truncates the last bulk string.
func (*redis) trim(f frame, raw []byte, keep int) []byte {
	lo, hi := f.payload[0], f.payload[1]
	header := bytes.LastIndexByte(raw[:lo], '$')
	out := append([]byte(nil), raw[:header]...)
	out = fmt.Appendf(out, "$%d\r\n", keep)
	out = append(out, raw[lo:lo+keep]...)
	return append(out, raw[hi:]...)
}

// redisErrors holds errors that a server returns (src/server.c, createSharedObjects).
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
	case r.Action == Answer:
		_, err := (*redis)(nil).refuse(r.Code, frame{})
		return err
	case r.Dir == ToClient && (r.Action == Twice || r.Action == Reorder) && !r.AllowViolation:
		return fmt.Errorf("%s %s: Redis never says a published message twice or out of order on one connection", r.Action, r.Dir)
	}
	return nil
}
