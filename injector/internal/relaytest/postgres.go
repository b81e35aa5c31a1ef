package relaytest

import "encoding/binary"

// PGMessage returns a frame; PGFirst returns a message without a type.
func PGMessage(kind, body string) string {
	return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body //nolint:gosec // small
}

func PGFirst(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)) //nolint:gosec // small
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

var (
	PGStart = PGFirst(3<<16, "user\x00u\x00database\x00shop\x00\x00")
	PGReady = PGMessage("R", "\x00\x00\x00\x00") + PGMessage("S", "TimeZone\x00UTC\x00") + PGMessage("K", "\x00\x00\x00\x01\x00\x00\x00\x02") + PGMessage("Z", "I")
)

// What a client of PostgreSQL may send instead of a startup message (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const (
	PgCancel = 80877102
	PgTLS    = 80877103
	PgGSS    = 80877104
)
