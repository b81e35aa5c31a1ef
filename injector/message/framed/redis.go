package framed

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Redis returns the row of Redis.
func Redis() message.Protocol {
	known := message.Words(redisOperations)
	return message.Protocol{
		Name: "redis", Means: "RESP2 and RESP3, pipelines, transactions and subscriptions included; no cluster", Unit: "messages",
		Actions: message.AllActions(),
		Serve:   Serve(openRedis), Matches: message.MatchWords, Class: message.ClassByParts(":"), Allow: allowRedis,
		Pushed: "MESSAGE", Reads: message.FirstWord(redisReads),
		Operation: func(word string) bool {
			return known(word) || strings.Contains(word, ".") && strings.ToUpper(word) == word // JSON.SET
		},
	}
}

// redisOperations lists the commands.
const redisOperations = `APPEND AUTH BITCOUNT BITFIELD BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP BZMPOP BZPOPMAX BZPOPMIN COPY DBSIZE DECR DECRBY DEL DISCARD DUMP ECHO EVAL
		EVALSHA EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FCALL FLUSHALL FLUSHDB GEOADD GEODIST GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HELLO HEXISTS
		HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HSCAN HSET HSETNX HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LMOVE LPOP LPOS LPUSH LPUSHX
		LRANGE LREM LSET LTRIM MESSAGE MGET MSET MSETNX MULTI PERSIST PEXPIRE PFADD PFCOUNT PING PMESSAGE PSETEX PSUBSCRIBE PTTL PUBLISH RENAME RENAMENX RESTORE
		RPOP RPOPLPUSH RPUSH RPUSHX SADD SCAN SCARD SDIFF SET SETBIT SETEX SETNX SETRANGE SINTER SISMEMBER SMEMBERS SMESSAGE SMOVE SPOP SPUBLISH SRANDMEMBER SREM
		SSCAN STRLEN SUBSCRIBE SUNION TOUCH TTL UNLINK UNSUBSCRIBE UNWATCH WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XLEN XPENDING XRANGE XREAD XREADGROUP
		XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYSCORE ZRANK ZREM ZREVRANGE ZSCAN ZSCORE`

// redisReads lists the commands that only read.
const redisReads = `BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS GEOSEARCH GET GETBIT
		GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS KEYS LCS LINDEX LLEN LPOS LRANGE MGET OBJECT PEXPIRETIME PFCOUNT PING PTTL
		RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUNION TIME TTL TYPE XINFO XLEN XPENDING XRANGE
		XREAD XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANK ZSCAN ZSCORE ZUNION`

// redis parses RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/), including
// pipelines. A message is a command with its arguments; its path is the first argument, the key. Answers come in
// the order of the commands; messages published to a subscription are separate messages.
//
// Only delays and losses act on transactions, blocking commands and subscriptions: a duplicated or refused
// command would leave the server in a state that cannot occur. Addresses in the answers of a cluster and of Sentinel
// bypass the link, and are reported.
type redis struct {
	up, down    resp
	multi       bool // according to the commands written to the server
	subscribed  bool // subscribed
	replyOff    bool // CLIENT REPLY OFF: no command is answered
	skipReplies int  // CLIENT REPLY SKIP: number of commands without an answer
	streaming   bool // MONITOR, SYNC: the server sends on its own
}

func openRedis(message.Config) Dialect { return &redis{down: resp{answers: true}} }

func (d *redis) Feed(dir message.Dir, b []byte) (int, bool, error) {
	if dir == message.ToServer {
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

func (d *redis) Inspect(dir message.Dir, raw []byte, front *Frame) Frame {
	if dir == message.ToClient {
		return d.inspectAnswer(raw, front)
	}
	args, last := bulks(raw)
	f := Frame{Kind: Request, Final: true, Payload: last}
	if len(args) == 0 {
		f.Method = strings.ToUpper(string(bytes.TrimSpace(raw)))
		f.Immune = "an inline command"
		if f.Method == "" {
			f.Kind = Control
		}
		f.Method, _, _ = strings.Cut(f.Method, " ")
		return f
	}
	f.Method = strings.ToUpper(string(args[0]))
	if len(args) > 1 {
		f.Path = string(args[1])
	}
	switch {
	case redisExempt[f.Method], redisStreams[f.Method]:
		f.Exempt = true
	case redisSubscribes[f.Method]:
		f.Immune = "a subscription"
	case redisBlocking[f.Method], strings.HasPrefix(f.Method, "XREAD") && bytes.Contains(bytes.ToUpper(raw), []byte("\r\nBLOCK\r\n")):
		f.Immune, f.Blocking = "a blocking command", true
	case d.multi, f.Method == "MULTI", f.Method == "EXEC", f.Method == "DISCARD", f.Method == "WATCH":
		f.Immune = "part of a transaction"
	}
	if d.replyOff || d.skipReplies > 0 || (f.Method == "CLIENT" && len(args) > 2 && strings.EqualFold(string(args[1]), "REPLY") && !strings.EqualFold(string(args[2]), "ON")) {
		f.Kind = Control
	}
	if f.Method == "CLIENT" && len(args) > 2 {
		f.Path = strings.ToUpper(string(args[1]) + " " + string(args[2]))
	}
	return f
}

func (d *redis) inspectAnswer(raw []byte, front *Frame) Frame {
	push := raw[0] == '>'
	if push || (d.subscribed && raw[0] == '*') {
		args, last := bulks(raw)
		if len(args) > 0 {
			word := strings.ToUpper(string(args[0]))
			f := Frame{Method: word, Payload: last}
			if len(args) > 1 {
				f.Path = string(args[1])
			}
			switch {
			case redisPushed[word]:
				f.Kind = OneWay
				return f
			case redisSubscribes[word]:
				if front == nil || !redisSubscribes[front.Method] {
					return f // one confirmation for each channel; the first one was the answer
				}
				return Frame{Kind: Response, Final: true, Detail: strings.ToLower(word)}
			}
		}
	}
	if push {
		return Frame{}
	}
	f := Frame{Kind: Response, Final: true, Detail: describeValue(raw)}
	f.Payload, f.Uncuttable = respPayload(raw)
	return f
}

func (d *redis) Sent(f *Frame) {
	if d.skipReplies > 0 {
		d.skipReplies--
	}
	switch f.Method {
	case "MULTI":
		d.multi = true
	case "EXEC", "DISCARD":
		d.multi = false
	case "RESET":
		d.multi, d.subscribed, d.replyOff = false, false, false
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		d.subscribed = true
	case "CLIENT":
		switch f.Path {
		case "REPLY OFF":
			d.replyOff = true
		case "REPLY ON":
			d.replyOff = false
		case "REPLY SKIP":
			d.skipReplies = 1
		}
	default:
		d.streaming = d.streaming || redisStreams[f.Method]
	}
}

// redisGuides are the commands whose answers hold addresses of servers.
var redisGuides = words("CLUSTER ROLE SENTINEL")

// Guides implements Guide. Sentinel also publishes that a master was replaced.
func (*redis) Guides(request string, raw []byte) bool {
	return redisGuides[request] || bytes.HasPrefix(raw, []byte("-MOVED ")) || bytes.HasPrefix(raw, []byte("-ASK ")) ||
		request == "" && bytes.Contains(raw, []byte("+switch-master"))
}

// Idle implements IdleReporter.
func (d *redis) Idle() bool {
	return !d.multi && !d.subscribed && !d.replyOff && d.skipReplies == 0 && !d.streaming
}

// Trim implements Trimmer. It truncates the last bulk string.
func (*redis) Trim(f Frame, raw []byte, keep int) []byte {
	lo, hi := f.Payload[0], f.Payload[1]
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

// Refuse implements Refuser.
func (*redis) Refuse(code string, _ Frame) ([]byte, error) {
	text, ok := redisErrors[strings.ToUpper(code)]
	if !ok {
		return nil, fmt.Errorf("%q is not an error that Redis answers with: known are %s", code, strings.Join(slices.Sorted(maps.Keys(redisErrors)), ", "))
	}
	return []byte("-" + text + "\r\n"), nil
}

func allowRedis(r message.Rule, _ message.Framing) error {
	switch {
	case r.Action == message.Answer:
		_, err := (*redis)(nil).Refuse(r.Code, Frame{})
		return err
	case r.Dir == message.ToClient && (r.Action == message.Twice || r.Action == message.Reorder) && !r.AllowViolation:
		return fmt.Errorf("%s %s: Redis never sends a published message twice or out of order on one connection", r.Action, r.Dir)
	}
	return nil
}
