package framed

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// PostgreSQL returns the row of PostgreSQL.
func PostgreSQL() message.Protocol {
	const typed = "what PostgreSQL answers is typed, and a changed byte makes a client fail in ways that no server causes: delay or lose its replies instead"
	return message.Protocol{
		TLSRequest: "\x00\x00\x00\x08\x04\xd2\x16\x2f", TLSGrant: "S", // SSLRequest
		Name: "postgres", Means: "PostgreSQL, simple and extended queries, COPY and notifications included", Unit: "messages",
		Actions:  []message.Action{message.Delay, message.LoseRequest, message.LoseReply, message.Answer, message.Twice, message.Reorder, message.DelayReply},
		Excluded: map[message.Action]string{message.CorruptReply: typed, message.TruncateReply: typed},
		Serve:    Serve(openPostgres), Matches: message.MatchWords, Class: message.ClassByParts(":"), Operation: message.Words(postgresOperations), Allow: allowPostgres,
		Pushed: "NOTIFY", Reads: message.FirstWord("EXPLAIN SELECT SHOW TABLE VALUES"), // a function that SELECT calls may write
	}
}

const postgresOperations = "ALTER BEGIN CALL COMMIT COPY CREATE DELETE DROP EXECUTE EXPLAIN FUNCTION INSERT LISTEN MERGE NOTIFY PREPARE ROLLBACK SELECT STARTUP TRUNCATE UPDATE"

// postgres parses version 3 of the frontend/backend protocol
// (https://www.postgresql.org/docs/current/protocol.html). A message is a simple query, or the series of an
// extended query up to Sync. Its method is the first keyword of its SQL, its path the table or channel. Its
// answer is everything up to ReadyForQuery. A series that only prepares has the method PREPARE. The startup
// message has the method STARTUP and the database as path; only rules that name STARTUP act on it. COPY data,
// passwords, and parts of a series that the client flushes before Sync are forwarded at once.
//
// A message delivered twice is executed twice in the same session, so this is allowed only for messages that
// stand alone, outside of transactions. Generated errors end the connection, like those of a server that shuts
// down: after a generated 40001, the server would not be in the failed transaction that the client assumes, and
// COMMIT would commit. Nothing is corrupted, because SQL with a changed byte is a different statement. TLS
// that the link does not terminate is not parsed.
type postgres struct {
	seriesLimit        int // limit of the bytes of a series that are buffered before Sync
	up, down           pgFrame
	opened             bool         // up: the startup message has been forwarded
	series             int          // up: bytes of complete frames in the current message
	encryptionRequests atomic.Int32 // pending requests for encryption; the answer is one byte without a frame
	encrypted          atomic.Bool  // encryption was granted

	statements   map[string]pgStatement // by "S" and the name of a prepared statement, or "P" and the name of a portal
	flushed      *pgStatement           // statement of a series whose first part has been forwarded
	pendingReady int                    // number of ReadyForQuery messages to come
	state        byte                   // from ReadyForQuery: I idle, T in a transaction, E in a failed one; 0 initially
	extended     bool                   // the server is answering an extended query
	resync       bool                   // a COPY consumed the Sync after it, so the next Sync takes its place
	replication  bool                   // a replication connection
}

func openPostgres(message.Config) Dialect {
	return &postgres{seriesLimit: message.MaxBuffered / 2, statements: map[string]pgStatement{}}
}

// pgFrame finds the end of a frame piece by piece.
type pgFrame struct {
	head     [8]byte
	headLen  int // bytes of head
	bodyLeft int // remaining bytes of the body
}

// Frame types, and codes used before frames have types.
const (
	pgToServer    = "BCDEFHPQSXcdfp"
	pgToClient    = "123ACDEGHIKNRSTVWZcdnstv"
	pgSeriesTypes = "BCDEP" // part of a series
	pgReadyTypes  = "FQS"   // answered with ReadyForQuery

	pgCancel  = 80877102
	pgTLS     = 80877103
	pgGSS     = 80877104
	pgLargest = 1<<30 - 1
)

// errTLS means that TLS or GSSAPI encryption begins.
var errTLS = fmt.Errorf("PostgreSQL granted encryption to the client, which the link does not end: %w", ErrNotUnderstood)

// next consumes input of the current frame. Its head has size bytes; length extracts the length of the rest of
// the frame from it.
func (f *pgFrame) next(b []byte, size int, length func(head []byte) (int, error)) (n int, whole bool, err error) {
	if f.headLen < size {
		n = copy(f.head[f.headLen:size], b)
		if f.headLen += n; f.headLen < size {
			return n, false, nil
		}
		if f.bodyLeft, err = length(f.head[:size]); err != nil {
			return n, false, err
		}
	}
	take := min(f.bodyLeft, len(b)-n)
	f.bodyLeft -= take
	if f.bodyLeft == 0 {
		f.headLen = 0
	}
	return n + take, f.bodyLeft == 0, nil
}

func pgLength(types string) func([]byte) (int, error) {
	return func(head []byte) (int, error) {
		n := binary.BigEndian.Uint32(head[1:])
		if strings.IndexByte(types, head[0]) < 0 || n < 4 || n > pgLargest {
			return 0, ErrNotUnderstood
		}
		return int(n) - 4, nil
	}
}

var pgUp, pgDown = pgLength(pgToServer), pgLength(pgToClient)

func (d *postgres) Feed(dir message.Dir, b []byte) (n int, whole bool, err error) {
	if d.encrypted.Load() {
		return 0, false, errTLS
	}
	if dir == message.ToClient {
		return d.feedDown(b)
	}
	if !d.opened {
		n, whole, err = d.up.next(b, 8, d.startLength)
		return n, whole, err
	}
	for n < len(b) {
		used, ended, err := d.up.next(b[n:], 5, pgUp)
		n += used
		d.series += used
		if err != nil {
			return n, false, err
		}
		if ended && (strings.IndexByte(pgSeriesTypes, d.up.head[0]) < 0 || d.series > d.seriesLimit) {
			d.series = 0
			return n, true, nil
		}
	}
	return n, false, nil
}

// startLength returns the length of the startup message, or of a request that precedes it.
func (d *postgres) startLength(head []byte) (int, error) {
	length, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	switch {
	case length < 8 || length > 10000: // the server's limit (MAX_STARTUP_PACKET_LENGTH)
		return 0, ErrNotUnderstood
	case (code == pgTLS || code == pgGSS) && length == 8:
		d.encryptionRequests.Add(1)
	case code>>16 == 3:
		d.opened = true
	case code != pgCancel:
		return 0, ErrNotUnderstood
	}
	return int(length) - 8, nil
}

func (d *postgres) feedDown(b []byte) (int, bool, error) {
	if d.down.headLen == 0 && d.encryptionRequests.Load() > 0 {
		d.encryptionRequests.Add(-1)
		switch b[0] {
		case 'S', 'G':
			d.encrypted.Store(true)
			return 1, true, nil
		case 'N':
			return 1, true, nil
		} // otherwise it is an error in a frame
	}
	return d.down.next(b, 5, pgDown)
}

func (d *postgres) Inspect(dir message.Dir, raw []byte, front *Frame) Frame {
	switch {
	case dir == message.ToClient:
		return d.inspectAnswer(raw, front)
	case raw[0] == 0:
		return d.inspectStartup(raw)
	}
	s, executed := pgSeries{statements: d.statements}, false
	if d.flushed != nil {
		s.statement, s.split, executed = *d.flushed, true, d.flushed.executed
	}
	last := s.read(raw)
	f := Frame{Kind: Request, Method: s.statement.method, Path: s.statement.path, Exempt: d.replication}
	switch {
	case strings.IndexByte(pgReadyTypes, last) < 0: // forwarded at once; a series still needs a Sync
		f.Kind = Control
		if s.statement.method != "" && last != 'X' {
			d.flushed = &s.statement
		}
		return f
	case last == 'S' && len(raw) == 5 && d.resync:
		d.resync = false
		return Frame{}
	}
	d.flushed = nil
	f.Method = cmp.Or(f.Method, "SYNC")
	whyNot := cmp.Or(s.why(), d.whyNotTwice())
	f.Blocks = func(a message.Action) string {
		switch {
		case a == message.Twice:
			return whyNot
		case executed && (a == message.LoseRequest || a == message.Answer):
			return pgSplit
		}
		return ""
	}
	return f
}

const pgSplit = "a part of it went to the server before its Sync"

// whyNotTwice returns why no message may be executed twice now, or "".
func (d *postgres) whyNotTwice() string {
	switch {
	case d.pendingReady > 0:
		return "sent ahead: what comes before it may open a transaction"
	case d.state != 'I':
		return "inside a transaction"
	}
	return ""
}

// inspectStartup inspects a message without a type.
func (d *postgres) inspectStartup(raw []byte) Frame {
	switch binary.BigEndian.Uint32(raw[4:]) {
	case pgCancel:
		return Frame{}
	case pgTLS, pgGSS:
		return Frame{Kind: Request, Method: "ENCRYPT", Exempt: true}
	}
	f := Frame{Kind: Request, Method: "STARTUP", OnlyByName: true}
	words := strings.Split(string(raw[8:]), "\x00")
	for i := 0; i+1 < len(words) && words[i] != ""; i += 2 {
		switch words[i] {
		case "database":
			f.Path = words[i+1]
		case "user":
			f.Path = cmp.Or(f.Path, words[i+1])
		case "replication":
			d.replication = words[i+1] != "false"
		}
	}
	return f
}

func (d *postgres) inspectAnswer(raw []byte, front *Frame) Frame {
	f := Frame{Kind: Response}
	if len(raw) == 1 { // the answer to a request for encryption
		f.Final = true
		return f
	}
	body := raw[5:]
	switch raw[0] {
	case 'A': // NotificationResponse
		if len(body) > 4 {
			f = Frame{Kind: OneWay, Method: "NOTIFY", Path: cut(body[4:])}
		}
	case 'N': // NoticeResponse
		if front == nil {
			f.Kind = Control
		}
	case 'S': // ParameterStatus: the client needs it whatever caused the change
		f.Kind = Control
	case 'G', 'W': // CopyInResponse, CopyBothResponse: the client's next input belongs to the same message
		f.Kind = Control
		d.resync = d.extended && front != nil && raw[0] == 'G'
	case 'R': // Authentication: likewise, except for AuthenticationOk
		if len(body) >= 4 && binary.BigEndian.Uint32(body) != 0 {
			f.Kind = Control
		}
	case '2': // BindComplete
		d.extended = true
	case 'C':
		f.Detail = cut(body)
	case 'E':
		f.Detail = "error " + pgField(body, 'C')
	case 'Z':
		f.Final = true
		d.pendingReady, d.extended, d.resync = max(0, d.pendingReady-1), false, false
		if len(body) > 0 {
			d.state = body[0]
		}
	}
	return f
}

// cut returns a zero-terminated string.
func cut(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// pgField returns a field of an error message.
func pgField(body []byte, name byte) string {
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if len(field) > 0 && field[0] == name {
			return string(field[1:])
		}
	}
	return ""
}

func (d *postgres) Sent(f *Frame) {
	if f.Kind == Request && f.Method != "ENCRYPT" {
		d.pendingReady++
	}
}

// Idle implements IdleReporter.
func (d *postgres) Idle() bool {
	return d.state == 'I' && d.pendingReady == 0 && d.flushed == nil && !d.replication
}
