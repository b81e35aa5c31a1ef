package framed

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// pgErrors holds the errors after which a server ends the connection. It sends 57P02 in a notice.
var pgErrors = map[string]string{
	"53300": "sorry, too many clients already",
	"57P01": "terminating connection due to administrator command",
	"57P02": "terminating connection because of crash of another server process",
	"57P03": "the database system is starting up",
}

// Refuse implements Refuser.
func (*postgres) Refuse(code string, f Frame) ([]byte, error) {
	text, ok := pgErrors[code]
	switch atStartup := code == "53300" || code == "57P03"; {
	case !ok:
		return nil, fmt.Errorf("%q is not an error that ends a PostgreSQL connection, and after another one the server would be in another state than the client believes: known are %s",
			code, strings.Join(slices.Sorted(maps.Keys(pgErrors)), ", "))
	case atStartup && f.Method != "STARTUP":
		return nil, fmt.Errorf("%q refuses a connection that opens: it answers STARTUP only", code)
	case !atStartup && f.Method == "STARTUP":
		return nil, fmt.Errorf("%q ends a connection that is open: it does not answer STARTUP", code)
	}
	kind, severity := byte('E'), "FATAL"
	if code == "57P02" {
		kind, severity = 'N', "WARNING"
	}
	body := "S" + severity + "\x00V" + severity + "\x00C" + code + "\x00M" + text + "\x00\x00"
	out := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)) //nolint:gosec // small
	return append(out, body...), nil
}

// ClosesConnection implements ClosesAfterRefusal.
func (*postgres) ClosesConnection() {}

func allowPostgres(r message.Rule, _ message.Framing) error {
	switch startup := strings.EqualFold(r.Match.Method, "STARTUP"); {
	case r.Action == message.Answer:
		_, err := (*postgres)(nil).Refuse(r.Code, Frame{Method: strings.ToUpper(r.Match.Method)})
		return err
	case r.Action == message.Twice && startup:
		return fmt.Errorf("%s STARTUP: a connection opens once", r.Action)
	case r.Dir == message.ToClient && r.Action == message.LoseRequest && r.Ending() != message.EndHeld && !r.AllowViolation:
		return fmt.Errorf("%s %s: PostgreSQL loses a notification only with its connection: lose a request, which ends it, instead", r.Action, r.Dir)
	case r.Dir == message.ToClient && (r.Action == message.Twice || r.Action == message.Reorder) && !r.AllowViolation:
		return fmt.Errorf("%s %s: PostgreSQL never sends a notification twice or out of order on one connection", r.Action, r.Dir)
	}
	return nil
}
