package framed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Rewrite implements Rewriter. It replaces all addresses in INFO by the link's.
func (*nats) Rewrite(raw []byte, via net.Addr) []byte {
	if len(raw) < 5 || !strings.EqualFold(string(raw[:5]), "INFO ") {
		return raw
	}
	var info map[string]json.RawMessage
	if json.Unmarshal(raw[5:], &info) != nil {
		return raw
	}
	host, port, err := net.SplitHostPort(via.String())
	if err == nil {
		info["host"], info["port"] = json.RawMessage(strconv.Quote(host)), json.RawMessage(port)
	}
	if _, present := info["connect_urls"]; present && err == nil {
		info["connect_urls"] = json.RawMessage("[" + strconv.Quote(via.String()) + "]")
	} else {
		delete(info, "connect_urls")
	}
	delete(info, "ws_connect_urls")
	text, err := json.Marshal(info)
	if err != nil {
		return raw
	}
	return []byte("INFO " + string(text) + "\r\n")
}

// Trim implements Trimmer.
func (*nats) Trim(f Frame, raw []byte, keep int) []byte {
	lo, hi := f.Payload[0], f.Payload[1]
	line := bytes.IndexByte(raw, '\n') + 1
	args := bytes.TrimRight(raw[:line], " \t\r\n")
	size := bytes.LastIndexAny(args, " \t") + 1
	out := append([]byte(nil), raw[:size]...)
	out = fmt.Appendf(out, "%d\r\n", lo-line+keep)
	out = append(out, raw[line:lo+keep]...)
	return append(out, raw[hi:]...)
}

// natsErrors holds the errors of a server: no responders, and JetStream's refusals to store a message
// (server/errors.json).
var natsErrors = map[string]string{
	"503":   "",
	"10008": `{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}`,
	"10023": `{"code":503,"err_code":10023,"description":"insufficient resources"}`,
	"10077": `{"code":503,"err_code":10077,"description":"maximum messages exceeded"}`,
}

// Refuse implements Refuser. For the zero frame it only checks code.
func (d *nats) Refuse(code string, f Frame) ([]byte, error) {
	text, ok := natsErrors[code]
	switch {
	case !ok:
		return nil, fmt.Errorf("%q is not an error that NATS answers with: known are %s", code, strings.Join(slices.Sorted(maps.Keys(natsErrors)), ", "))
	case f.ID == "":
		return nil, nil
	case text == "" && !d.noResponders:
		return nil, fmt.Errorf("its client did not enable no_responders in CONNECT")
	}
	for sid, s := range d.subs {
		if !matchSubject(s.subject, f.ID) {
			continue
		}
		if text == "" {
			head := "NATS/1.0 503\r\nNats-Subject: " + f.Path + "\r\n\r\n"
			return fmt.Appendf(nil, "HMSG %s %s %d %d\r\n%s\r\n", f.ID, sid, len(head), len(head), head), nil
		}
		text = `{"error":` + text + `,"stream":"","seq":0}`
		return fmt.Appendf(nil, "MSG %s %s %d\r\n%s\r\n", f.ID, sid, len(text), text), nil
	}
	return nil, fmt.Errorf("its client does not listen for the answer")
}

func allowNATS(r message.Rule, _ message.Framing) error {
	switch {
	case r.Action == message.Answer:
		_, err := (*nats)(nil).Refuse(r.Code, Frame{})
		return err
	case r.Dir == message.ToClient && r.Action == message.Twice && !r.AllowViolation:
		return fmt.Errorf("%s %s: NATS never delivers a message twice on one connection; lose the acknowledgement (PUB of \"$JS.ACK.>\") and JetStream delivers it again", r.Action, r.Dir)
	}
	return nil
}

// matchSubject matches a subject against a pattern with the wildcards * (one token) and > (all remaining
// tokens).
func matchSubject(pattern, subject string) bool {
	for {
		want, wants, more := strings.Cut(pattern, ".")
		got, gots, rest := strings.Cut(subject, ".")
		switch {
		case want == ">" && !more:
			return got != ""
		case want != got && (want != "*" || got == ""):
			return false
		case !more || !rest:
			return more == rest
		}
		pattern, subject = wants, gots
	}
}

// subjectClass returns the stable part of a subject: without the variable parts of inboxes and acknowledgements,
// and with "{id}" for tokens that look like identifiers.
func subjectClass(subject string) string {
	tokens := strings.Split(subject, ".")
	switch {
	case tokens[0] == "_INBOX":
		return "_INBOX"
	case strings.HasPrefix(subject, "$JS.ACK.") && len(tokens) > 10: // has a domain and an account before the stream
		return "$JS.ACK." + tokens[4] + "." + tokens[5]
	case strings.HasPrefix(subject, "$JS.ACK.") && len(tokens) > 4:
		return "$JS.ACK." + tokens[2] + "." + tokens[3]
	}
	for i, t := range tokens {
		if message.IsIdentifier(t) {
			tokens[i] = "{id}"
		}
	}
	return strings.Join(tokens, ".")
}
