package message

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pgErrors holds the errors after which a server ends the connection. It sends 57P02 in a notice.
var pgErrors = map[string]string{
	"53300": "sorry, too many clients already",
	"57P01": "terminating connection due to administrator command",
	"57P02": "terminating connection because of crash of another server process",
	"57P03": "the database system is starting up",
}

// refuse implements refuser.
func (*postgres) refuse(code string, f frame) ([]byte, error) {
	text, ok := pgErrors[code]
	switch atStartup := code == "53300" || code == "57P03"; {
	case !ok:
		return nil, fmt.Errorf("%q is no error that ends a PostgreSQL connection, and after another one the server would be in another state than the client believes: known are %s",
			code, strings.Join(slices.Sorted(maps.Keys(pgErrors)), ", "))
	case atStartup && f.method != "STARTUP":
		return nil, fmt.Errorf("%q refuses a connection that opens: it answers STARTUP only", code)
	case !atStartup && f.method == "STARTUP":
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

// closesConnection implements closesAfterRefusal.
func (*postgres) closesConnection() {}

func allowPostgres(r Rule) error {
	switch startup := strings.EqualFold(r.Match.Method, "STARTUP"); {
	case r.Action == Answer:
		_, err := (*postgres)(nil).refuse(r.Code, frame{method: strings.ToUpper(r.Match.Method)})
		return err
	case r.Action == Twice && startup:
		return fmt.Errorf("%s STARTUP: a connection opens once", r.Action)
	case r.Dir == ToClient && r.Action == LoseRequest && r.ending() != EndHeld && !r.AllowViolation:
		return fmt.Errorf("%s %s: PostgreSQL loses a notification only with its connection: lose a request, which ends it, instead", r.Action, r.Dir)
	case r.Dir == ToClient && (r.Action == Twice || r.Action == Reorder) && !r.AllowViolation:
		return fmt.Errorf("%s %s: PostgreSQL never says a notification twice or out of order on one connection", r.Action, r.Dir)
	}
	return nil
}
