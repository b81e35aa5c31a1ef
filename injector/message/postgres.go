package message

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
)

// postgres follows version 3 of the frontend/backend protocol (https://www.postgresql.org/docs/current/protocol.html). A message is a simple query, or all
// that an extended one says up to Sync; its method is the first keyword of its SQL, its path the table or channel. What the server says up to
// ReadyForQuery is its answer. A series that only prepares has the method PREPARE, and the first words on a connection have STARTUP, with the
// database as path; only a rule that names STARTUP acts on those. The data of a COPY, passwords, and parts of a series that the client
// flushes before its Sync pass at once.
//
// What is delivered twice would be executed twice in one session, so only what stands for itself is: no part of a transaction. The errors that it answers
// with end the connection, as those of a server that is shut down do: after a faked 40001 the server would not be in the failed
// transaction that the client believes in, and COMMIT would commit. Nothing is corrupted, as another byte in SQL is another statement.
// TLS that the server grants is not followed.
type postgres struct {
	most     int // bytes of a series that are kept back until its Sync
	up, down pgFrame
	opened   bool         // up: StartupMessage has passed
	series   int          // up: bytes of the frames that have ended, of the message under way
	asks     atomic.Int32 // requests for encryption whose answer, one byte without a frame, is still to come
	secret   atomic.Bool  // it was granted

	known  map[string]pgStatement // "S" and the name of a prepared statement, "P" and that of a portal
	early  *pgStatement           // of the series whose first part has gone to the server already
	owes   int                    // ReadyForQuery, for what was written to the server
	state  byte                   // as the last ReadyForQuery had it: I idle, T in a transaction, E in a failed one; 0 before
	bound  bool                   // what the server answers is an extended query
	resync bool                   // it reads a COPY, and has ignored the Sync behind it: the next one takes its place
	walks  bool                   // replication
}

func openPostgres(cfg Config) dialect {
	return &postgres{most: int(cfg.Whole) / 2, known: map[string]pgStatement{}}
}

// pgFrame finds the end of a frame, piece by piece.
type pgFrame struct {
	head [8]byte
	got  int // of head
	left int // bytes of the body that are still to come
}

// Types of frames, and what is said before there are types.
const (
	pgToServer = "BCDEFHPQSXcdfp"
	pgToClient = "123ACDEGHIKNRSTVWZcdnstv"
	pgPrepares = "BCDEP" // belong to a series
	pgDemands  = "FQS"   // are answered with ReadyForQuery

	pgCancel  = 80877102
	pgTLS     = 80877103
	pgGSS     = 80877104
	pgLargest = 1<<30 - 1
)

// errTLS tells that TLS, or GSSAPI's encryption, begins.
var errTLS = fmt.Errorf("PostgreSQL granted encryption to the client, which the link does not end: %w", errDialect)

// next takes what belongs to the frame under way. Its head has size bytes, of which length finds the frame's length without its type.
func (f *pgFrame) next(b []byte, size int, length func(head []byte) (int, error)) (n int, whole bool, err error) {
	if f.got < size {
		n = copy(f.head[f.got:size], b)
		if f.got += n; f.got < size {
			return n, false, nil
		}
		if f.left, err = length(f.head[:size]); err != nil {
			return n, false, err
		}
	}
	take := min(f.left, len(b)-n)
	f.left -= take
	if f.left == 0 {
		f.got = 0
	}
	return n + take, f.left == 0, nil
}

func pgLength(types string) func([]byte) (int, error) {
	return func(head []byte) (int, error) {
		n := binary.BigEndian.Uint32(head[1:])
		if strings.IndexByte(types, head[0]) < 0 || n < 4 || n > pgLargest {
			return 0, errDialect
		}
		return int(n) - 4, nil
	}
}

var pgUp, pgDown = pgLength(pgToServer), pgLength(pgToClient)

func (d *postgres) feed(dir Dir, b []byte) (n int, whole bool, err error) {
	if d.secret.Load() {
		return 0, false, errTLS
	}
	if dir == ToClient {
		return d.feedDown(b)
	}
	if !d.opened {
		n, whole, err = d.up.next(b, 8, d.begins)
		return n, whole, err
	}
	for n < len(b) {
		used, ended, err := d.up.next(b[n:], 5, pgUp)
		n += used
		d.series += used
		if err != nil {
			return n, false, err
		}
		if ended && (strings.IndexByte(pgPrepares, d.up.head[0]) < 0 || d.series > d.most) {
			d.series = 0
			return n, true, nil
		}
	}
	return n, false, nil
}

// begins finds the length of what opens a connection, or asks for something else first.
func (d *postgres) begins(head []byte) (int, error) {
	length, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	switch {
	case length < 8 || length > 10000: // as the server has it (MAX_STARTUP_PACKET_LENGTH)
		return 0, errDialect
	case (code == pgTLS || code == pgGSS) && length == 8:
		d.asks.Add(1)
	case code>>16 == 3:
		d.opened = true
	case code != pgCancel:
		return 0, errDialect
	}
	return int(length) - 8, nil
}

func (d *postgres) feedDown(b []byte) (int, bool, error) {
	if d.down.got == 0 && d.asks.Load() > 0 {
		d.asks.Add(-1)
		switch b[0] {
		case 'S', 'G':
			d.secret.Store(true)
			return 1, true, nil
		case 'N':
			return 1, true, nil
		} // an error, in a frame
	}
	return d.down.next(b, 5, pgDown)
}

func (d *postgres) look(dir Dir, raw []byte, front *frame) frame {
	switch {
	case dir == ToClient:
		return d.lookDown(raw, front)
	case raw[0] == 0:
		return d.lookFirst(raw)
	}
	s, executed := pgSeries{known: d.known}, false
	if d.early != nil {
		s.is, s.split, executed = *d.early, true, d.early.runs
	}
	last := s.read(raw)
	f := frame{kind: isRequest, method: s.is.method, path: s.is.path, exempt: d.walks}
	switch {
	case strings.IndexByte(pgDemands, last) < 0: // passes at once; a Sync is still to come, if there is a series at all
		f.kind = isControl
		if s.is.method != "" && last != 'X' {
			d.early = &s.is
		}
		return f
	case last == 'S' && len(raw) == 5 && d.resync:
		d.resync = false
		return frame{}
	}
	d.early = nil
	f.method = cmp.Or(f.method, "SYNC")
	why := cmp.Or(s.why(), d.busy())
	f.bars = func(do Do) string {
		switch {
		case do == Twice:
			return why
		case executed && (do == LoseRequest || do == Answer):
			return pgSplit
		}
		return ""
	}
	return f
}

const pgSplit = "a part of it went to the server before its Sync"

// busy is why nothing may be executed twice now.
func (d *postgres) busy() string {
	switch {
	case d.owes > 0:
		return "sent ahead: what comes before it may open a transaction"
	case d.state != 'I':
		return "inside a transaction"
	}
	return ""
}

// lookFirst reads what is said before frames have types.
func (d *postgres) lookFirst(raw []byte) frame {
	switch binary.BigEndian.Uint32(raw[4:]) {
	case pgCancel:
		return frame{}
	case pgTLS, pgGSS:
		return frame{kind: isRequest, method: "ENCRYPT", exempt: true}
	}
	f := frame{kind: isRequest, method: "STARTUP", named: true}
	words := strings.Split(string(raw[8:]), "\x00")
	for i := 0; i+1 < len(words) && words[i] != ""; i += 2 {
		switch words[i] {
		case "database":
			f.path = words[i+1]
		case "user":
			f.path = cmp.Or(f.path, words[i+1])
		case "replication":
			d.walks = words[i+1] != "false"
		}
	}
	return f
}

func (d *postgres) lookDown(raw []byte, front *frame) frame {
	f := frame{kind: isAnswer}
	if len(raw) == 1 { // to a request for encryption
		f.settles = true
		return f
	}
	body := raw[5:]
	switch raw[0] {
	case 'A': // NotificationResponse
		if len(body) > 4 {
			f = frame{kind: isOneWay, method: "NOTIFY", path: cut(body[4:])}
		}
	case 'N': // NoticeResponse
		if front == nil {
			f.kind = isControl
		}
	case 'S': // ParameterStatus, which the client needs to know whatever it was that changed it
		f.kind = isControl
	case 'G', 'W': // CopyInResponse, CopyBothResponse: what the client says next belongs to the same message
		f.kind = isControl
		d.resync = d.bound && front != nil && raw[0] == 'G'
	case 'R': // Authentication: likewise, but for AuthenticationOk
		if len(body) >= 4 && binary.BigEndian.Uint32(body) != 0 {
			f.kind = isControl
		}
	case '2': // BindComplete
		d.bound = true
	case 'C':
		f.says = cut(body)
	case 'E':
		f.says = "error " + pgField(body, 'C')
	case 'Z':
		f.settles = true
		d.owes, d.bound, d.resync = max(0, d.owes-1), false, false
		if len(body) > 0 {
			d.state = body[0]
		}
	}
	return f
}

// cut returns a string that ends with a zero byte.
func cut(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// pgField returns a field of an error.
func pgField(body []byte, name byte) string {
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if len(field) > 0 && field[0] == name {
			return string(field[1:])
		}
	}
	return ""
}

func (d *postgres) sent(f *frame) {
	if f.kind == isRequest && f.method != "ENCRYPT" {
		d.owes++
	}
}

// rests implements resting.
func (d *postgres) rests() bool { return d.state == 'I' && d.owes == 0 && d.early == nil && !d.walks }
