package message

import (
	"fmt"
	"slices"
	"strings"
)

// operationWords lists the words that name an operation of a protocol, in any case. Every other word names an
// object: a key, a subject, a table.
var operationWords = map[string]map[string]bool{
	"dns":      words("A AAAA ANY CAA CNAME HTTPS MX NS PTR SOA SRV SVCB TXT"),
	"nats":     words("MSG PUB"),
	"postgres": words("ALTER BEGIN CALL COMMIT COPY CREATE DELETE DROP EXECUTE EXPLAIN FUNCTION INSERT LISTEN MERGE NOTIFY PREPARE ROLLBACK SELECT STARTUP TRUNCATE UPDATE"),
	"redis": words(`APPEND AUTH BITCOUNT BITFIELD BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP BZMPOP BZPOPMAX BZPOPMIN COPY DBSIZE DECR DECRBY DEL DISCARD DUMP ECHO EVAL
		EVALSHA EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FCALL FLUSHALL FLUSHDB GEOADD GEODIST GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HELLO HEXISTS
		HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HSCAN HSET HSETNX HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LMOVE LPOP LPOS LPUSH LPUSHX
		LRANGE LREM LSET LTRIM MESSAGE MGET MSET MSETNX MULTI PERSIST PEXPIRE PFADD PFCOUNT PING PMESSAGE PSETEX PSUBSCRIBE PTTL PUBLISH RENAME RENAMENX RESTORE
		RPOP RPOPLPUSH RPUSH RPUSHX SADD SCAN SCARD SDIFF SET SETBIT SETEX SETNX SETRANGE SINTER SISMEMBER SMEMBERS SMESSAGE SMOVE SPOP SPUBLISH SRANDMEMBER SREM
		SSCAN STRLEN SUBSCRIBE SUNION TOUCH TTL UNLINK UNSUBSCRIBE UNWATCH WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XLEN XPENDING XRANGE XREAD XREADGROUP
		XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYSCORE ZRANK ZREM ZREVRANGE ZSCAN ZSCORE`),
}

// Operation reports whether a single word names an operation of the protocol, in any case, rather than an
// object.
func (p Protocol) Operation(word string) bool {
	switch p.Name {
	case "lines": // has operations but no objects
		return true
	case "statsd":
		return slices.Contains(Metrics(), strings.ToLower(word))
	case "redis":
		return operationWords[p.Name][strings.ToUpper(word)] || (strings.Contains(word, ".") && strings.ToUpper(word) == word) // JSON.SET
	}
	return operationWords[p.Name][strings.ToUpper(word)]
}

// topic moves the only word of a match to Method if it names an operation of this protocol, in any case.
func (p Protocol) topic(m Match) Match {
	if m.Method == "" && m.Path != "" && p.Operation(m.Path) {
		m.Method, m.Path = m.Path, ""
	}
	return m
}

// unmatched returns an error if no message of this protocol can match.
func (p Protocol) unmatched(m Match) error {
	switch {
	case p.Name == "lines" && m.Path != "":
		return fmt.Errorf("%q: a message of lines has an operation, its first word, and no object: write %q", m.Method+" "+m.Path, m.Method)
	case p.Name == "lines" && m.Method != "" && operation([]byte(m.Method)) == "":
		return fmt.Errorf("%q: an operation of lines is a word of letters, digits, _, - and dots that begins with a letter, at most 32 of them", m.Method)
	case p.Name == "lengths" && (m.Method != "" || m.Path != ""):
		return fmt.Errorf("%q: messages that begin with their length have no operations to choose by: choose by a share or a count", strings.TrimSpace(m.Method+" "+m.Path))
	}
	return nil
}
