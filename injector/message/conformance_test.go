package message

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// protocolCase holds what the conformance test needs to know about a framed protocol besides its conversations.
type protocolCase struct {
	conversations    []conversation
	cfg              Config
	code             string // for Answer
	closes           bool   // the answer ends the connection
	losesOnlyMessage bool   // losing a message leaves its connection open
	push             string // a message pushed by the server; "" if there are none
	call             line   // a message and its answer, for faults on answers; zero means those of the first conversation
}

var dialects = map[string]protocolCase{
	"lengths":  {cfg: Config{Framing: Framing{Width: 4, Little: true, Lockstep: true}}, code: "ERR"},
	"lines":    {cfg: Config{Framing: Framing{Lockstep: true}}, code: "ERR"},
	"nats":     {code: "503", losesOnlyMessage: true, push: "MSG news 2 5\r\nhello\r\n", call: line{"PUB news inbox.7 2\r\nhi\r\n", "MSG inbox.7 2 5\r\nhello\r\n"}},
	"postgres": {code: "57P01", closes: true},
	"redis":    {code: "LOADING", call: line{"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$5\r\nhello\r\n"}},
	"toy":      {},
}

// toy is a protocol for this test: messages end with a semicolon, and each message to the server is answered.
type toy struct{}

func (toy) feed(_ Dir, b []byte) (int, bool, error) {
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		return i + 1, true, nil
	}
	return len(b), false, nil
}

func (toy) inspect(d Dir, raw []byte, _ *frame) frame {
	f := frame{kind: isRequest, final: true, method: string(raw[:1]), payload: [2]int{1, len(raw) - 1}}
	if d == ToClient {
		f.kind = isAnswer
	}
	return f
}

func (toy) sent(*frame) {}

// An entry in the protocol table is enough for this test: the toy protocol passes it, too.
func TestFramedProtocolsConform(t *testing.T) {
	conversations["toy"] = []conversation{{"question", messages(">?why;", "<!because;")}, {"ahead", messages(">?a;?b;", "<!a;!b;")}}
	row := Protocol{
		Name: "toy", Unit: "messages", Actions: []Action{Delay, LoseRequest, LoseReply, Twice, Reorder, Corrupt, DelayReply, CorruptReply},
		serve: framed(func(Config) dialect { return toy{} }), matches: matchWords, class: parts(":"),
	}
	for _, p := range append(Protocols(), row) {
		if p.Unit == "calls" || p.UDP { // these have tests of their own
			continue
		}
		s, ok := dialects[p.Name]
		s.conversations = conversations[p.Name]
		require.True(t, ok && len(s.conversations) > 0, "protocol %q needs a row in dialects and conversations", p.Name)
		t.Run(p.Name, func(t *testing.T) { checkConforms(t, p, s) })
	}
}

// checkConforms checks, with scripted peers, what every framed protocol must do.
func checkConforms(t *testing.T, p Protocol, s protocolCase) {
	t.Run("no rule changes a byte", func(t *testing.T) { checkUnchanged(t, p, s) })
	t.Run("ends arrive as they are", func(t *testing.T) { checkEnds(t, p, s) })
	t.Run("messages may be sent ahead", func(t *testing.T) {
		d := newFaultTest(t, p, s)
		const n = 40
		exchange(d.client, d.server, d.turns(n), false)
		closeBoth(d.client, d.server)
		waitUntil(t, "all calls are told", func() bool { return len(d.f.finishedCalls()) >= n })
		toServer, toClient := d.f.checkAccounts(t)
		assert.Equal(t, toServer.Received, toServer.Delivered)
		assert.Equal(t, toClient.Received, toClient.Delivered)
		for _, c := range d.f.finishedCalls() {
			assert.Equal(t, done, c.Status, c.Op)
			assert.Empty(t, c.Skipped)
		}
	})
	for _, action := range p.Actions {
		for _, ending := range []Ending{"", EndReset, EndClosed, EndSilence, EndHeld} {
			if (action == DelayReply || action == CorruptReply || action == TruncateReply) && s.call.from == "" && newFaultTest(t, p, s).answer == "" {
				continue
			}
			if ending == "" || action == LoseRequest || (action == LoseReply && newFaultTest(t, p, s).answer != "") {
				t.Run(strings.TrimSpace(fmt.Sprint(action, " ", ending)), func(t *testing.T) { checkActs(t, newFaultTest(t, p, s), Rule{Action: action, EndWith: ending}) })
			}
		}
	}
	if slices.Contains(p.Actions, Twice) {
		t.Run("twice, late", func(t *testing.T) { checkActs(t, newFaultTest(t, p, s), Rule{Action: Twice, Late: quiet}) })
		t.Run("twice, second answer", func(t *testing.T) { checkActs(t, newFaultTest(t, p, s), Rule{Action: Twice, Second: true}) })
	}
	for _, action := range []Action{Delay, LoseRequest, Corrupt, Truncate} {
		if s.push != "" && slices.Contains(p.Actions, action) {
			t.Run(string(action)+", to client", func(t *testing.T) { checkActs(t, newFaultTest(t, p, s), Rule{Action: action, Dir: ToClient}) })
		}
	}
}

func checkUnchanged(t *testing.T, p Protocol, s protocolCase) {
	for _, c := range s.conversations {
		for _, single := range []bool{false, true} {
			if single && c.name == "large" {
				continue
			}
			for _, closer := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/single=%v/%s ends", c.name, single, closer), func(t *testing.T) {
					up := startScript(t)
					client := connect(t, openProtocol(t, p, up.addr, s.cfg).addr)
					server := up.accept(t)
					exchange(client, server, c.lines, single)
					if closer == "client" {
						closeBoth(client, server)
					} else {
						closeBoth(server, client)
					}
				})
			}
		}
	}
}

// checkEnds checks that resets, and half-closes in the middle of a message, are forwarded as such.
func checkEnds(t *testing.T, p Protocol, s protocolCase) {
	first := s.conversations[0].lines[0].text
	for name, sent := range map[string]string{"at once": "", "in a message": first[:len(first)/2], "after a message": first} {
		for _, side := range []string{"client", "server"} {
			for _, end := range []string{"closed", "reset"} {
				t.Run(name+"/"+side+" "+end, func(t *testing.T) {
					up := startScript(t)
					client := connect(t, openProtocol(t, p, up.addr, s.cfg).addr)
					server := up.accept(t)
					client.send(sent, false)
					unreceived := sent // sent, but not yet received
					if name == "after a message" {
						server.expect(sent)
						unreceived = ""
					}
					first, second := client, server
					if side == "server" {
						first, second, unreceived = server, client, ""
					}
					if end == "reset" {
						first.reset()
						_, how := second.readToEnd(patience)
						assert.Equal(t, "reset", how)
						return
					}
					require.NoError(t, first.CloseWrite())
					rest, how := second.readToEnd(patience)
					assert.Equal(t, "closed", how)
					assert.Equal(t, unreceived, rest)
				})
			}
		}
	}
}

// faultTest is a client and a server, up to the message that the fault acts on.
type faultTest struct {
	protocolCase
	f               *testLink
	up              *scriptedServer
	client, server  peer
	before          []line
	message, answer string
}

func newFaultTest(t *testing.T, p Protocol, s protocolCase) *faultTest {
	d := &faultTest{protocolCase: s, up: startScript(t)}
	all := s.conversations[0].lines
	d.message = all[len(all)-1].text
	d.before = all[:len(all)-1]
	if n := len(all) - 2; all[n+1].from == "<" {
		d.before, d.message, d.answer = all[:n], all[n].text, all[n+1].text
	}
	d.f = openProtocol(t, p, d.up.addr, s.cfg)
	d.client, d.server = d.connect(t)
	return d
}

// connect opens a connection and plays the conversation up to the message.
func (d *faultTest) connect(t *testing.T) (client, server peer) {
	client = connect(t, d.f.addr)
	server = d.up.accept(t)
	exchange(client, server, d.before, false)
	return client, server
}

// turns returns n messages sent ahead and their answers.
func (d *faultTest) turns(n int) []line {
	all := []line{{">", strings.Repeat(d.message, n)}}
	if d.answer != "" {
		all = append(all, line{"<", strings.Repeat(d.answer, n)})
	}
	return all
}

// checkActs applies a fault to one message. It checks what both peers see, that the fault is recorded once, and
// that later messages pass.
func checkActs(t *testing.T, d *faultTest, r Rule) {
	r.First, r.Code = 1, d.code
	switch r.Action {
	case Delay, DelayReply:
		r.By = quiet
	case Reorder:
		r.Wait = patience
	}
	if r.Action.OfReply() && r.Action != LoseReply && d.call.from != "" {
		d.message, d.answer = d.call.from, d.call.text
	}
	count, heal := d.f.addRule(t, r)
	if r.Dir == ToClient {
		d.checkPush(t, r)
	} else {
		d.checkOutcome(t, r, heal)
	}
	waitUntil(t, "it is told", func() bool { return count.Tally().Affected == 1 })
	d.f.checkAccounts(t)
	if r.EndWith != EndHeld {
		assert.Len(t, d.f.recorded(evidence.Applied), 1)
	} else {
		assert.Len(t, d.f.recorded(evidence.Released), 1)
	}
	if r.Action == Twice && d.answer != "" {
		assert.Len(t, d.f.recorded(evidence.Discarded), 1)
	}
}

func (d *faultTest) checkOutcome(t *testing.T, r Rule, heal func()) {
	began := time.Now()
	switch r.Action {
	case Delay:
		d.client.send(d.message, false)
		d.server.expect(d.message)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
		d.answerAll()
	case DelayReply:
		d.client.send(d.message, false)
		d.server.expect(d.message)
		d.answerAll()
		assert.GreaterOrEqual(t, time.Since(began), r.By)
	case CorruptReply, TruncateReply:
		d.client.send(d.message+d.message, false)
		d.server.expect(d.message + d.message)
		d.server.send(d.answer+d.answer, false)
		checkDamaged(t, r.Action, d.answer, d.client.before(d.answer))
	case LoseRequest, LoseReply:
		d.checkLost(t, r, heal)
		return
	case Answer:
		if d.closes { // the client receives nothing after the error
			d.client.send(d.message, false)
			rest, how := d.client.readToEnd(patience)
			assert.Contains(t, rest, r.Code)
			assert.Equal(t, "closed", how)
			return
		}
		d.client.send(d.message+d.message, false)
		d.server.expect(d.message)
		d.server.send(d.answer, false)
		assert.Contains(t, d.client.before(d.answer), r.Code)
	case Twice:
		d.client.send(d.message, false)
		if r.Late > 0 {
			d.server.expect(d.message)
			d.answerAll()
			d.server.expect(d.message)
			d.server.send(d.answer, false)
			break
		}
		d.server.expect(d.message + d.message)
		d.server.send(d.answer, false)
		d.answerAll()
	case Reorder:
		d.client.send(d.message, false)
		waitUntil(t, "it is held", func() bool { return len(d.f.recorded(evidence.Held)) == 1 })
		client, server := d.connect(t)
		exchange(client, server, d.turns(1), false)
		d.server.expect(d.message)
		d.answerAll()
	case Corrupt, Truncate:
		d.client.send(d.message+d.message, false)
		checkDamaged(t, r.Action, d.message, d.server.before(d.message))
		d.server.send(d.answer+d.answer, false)
		d.client.expect(d.answer + d.answer)
	}
	exchange(d.client, d.server, d.turns(2), false)
	closeBoth(d.client, d.server)
}

func (d *faultTest) answerAll() {
	d.server.send(d.answer, false)
	d.client.expect(d.answer)
}

// checkLost checks the loss of a message, or of its answer.
func (d *faultTest) checkLost(t *testing.T, r Rule, heal func()) {
	d.client.send(d.message, false)
	if r.Action == LoseReply {
		d.server.expect(d.message)
		d.server.send(d.answer, false)
	}
	rest, how := d.client.readToEnd(map[bool]time.Duration{true: quiet, false: patience}[r.EndWith == EndSilence || r.EndWith == EndHeld || (d.losesOnlyMessage && r.losesOnlyMessage())])
	assert.Empty(t, rest)
	want := map[Ending]string{"": "reset", EndHeld: "silence"}[r.EndWith]
	if want == "" {
		want = string(r.EndWith)
	}
	if d.losesOnlyMessage && r.EndWith == "" {
		want = "silence"
	}
	assert.Equal(t, want, how)
	switch {
	case r.EndWith == EndHeld:
		heal()
		if r.Action == LoseRequest {
			d.server.expect(d.message)
			d.server.send(d.answer, false)
		}
		d.client.expect(d.answer)
	case !d.losesOnlyMessage || !r.losesOnlyMessage():
		return
	}
	exchange(d.client, d.server, d.turns(2), false)
	closeBoth(d.client, d.server)
}

// checkPush checks a fault on a message pushed by the server.
func (d *faultTest) checkPush(t *testing.T, r Rule) {
	began := time.Now()
	d.server.send(d.push+d.push+d.push, false)
	if r.Action == Corrupt || r.Action == Truncate {
		checkDamaged(t, r.Action, d.push, d.client.before(d.push+d.push))
	} else if d.client.expect(d.push + d.push); r.Action == Delay {
		d.client.expect(d.push)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
	}
	exchange(d.client, d.server, d.turns(2), false)
	closeBoth(d.client, d.server)
}

// before reads up to text and returns what precedes it.
func (p peer) before(text string) string {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	var all []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(all), text) {
		_, err := p.Read(one)
		require.NoError(p.t, err, "after %q", all)
		all = append(all, one[0])
	}
	return strings.TrimSuffix(string(all), text)
}

func checkDamaged(t *testing.T, action Action, was, is string) {
	t.Helper()
	if action == Truncate || action == TruncateReply {
		assert.Less(t, len(is), len(was))
		assert.NotEmpty(t, is)
		return
	}
	if assert.Len(t, is, len(was)) {
		n := 0
		for i := range was {
			if is[i] != was[i] {
				n++
			}
		}
		assert.Equal(t, 1, n, "%q became %q", was, is)
	}
}

// A framing need not be in lockstep, and there are several encodings of a length.
func TestFramingsConform(t *testing.T) {
	rows := Protocols()
	row := func(name string) Protocol {
		return rows[slices.IndexFunc(rows, func(p Protocol) bool { return p.Name == name })]
	}
	without := func(p Protocol) Protocol {
		p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(do Action) bool { return do.OfReply() || do == Answer })
		return p
	}
	t.Run("lines, one way", func(t *testing.T) {
		checkConforms(t, without(row("lines")), protocolCase{conversations: []conversation{{"send", messages(">hello world\r\n", ">hello again\n")}}, losesOnlyMessage: true, push: "and the same to you\n"})
	})
	for prefix, g := range map[string]Framing{
		"\x05": {Width: 1}, "\x06": {Width: 1, Includes: true}, "\x00\x05": {Width: 2}, "\x07\x00": {Width: 2, Little: true, Includes: true}, "\x00\x00\x00\x05": {Width: 4},
		"\x00\x00\x00\x09": {Width: 4, Includes: true}, "\x0d\x00\x00\x00\x00\x00\x00\x00": {Width: 8, Little: true, Includes: true}, "\x00\x00\x00\x00\x00\x00\x00\x05": {Width: 8},
	} {
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			text := prefix + "hello"
			one := protocolCase{conversations: []conversation{{"send", messages(">"+text+text, ">"+text)}}, cfg: Config{Framing: g}, losesOnlyMessage: true, push: text}
			checkConforms(t, without(row("lengths")), one)
		})
	}
}

// Input that cannot be parsed passes through, even without any line ending, and is reported once, whichever side
// sent it.
func TestUnparsableInputIsReportedAndForwarded(t *testing.T) {
	for _, c := range []struct {
		protocol, why string
		lines         []line
	}{
		{"nats", "not understood: TLS", messages(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"nats", "not understood", messages("<RS+ a\r\n", ">RS+ b\r\n")},
		{"redis", "not understood: TLS", messages(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"redis", "not understood", messages("<\r\n", ">PING\r\n", "<+PONG\r\n")},
		{"redis", "not understood", messages(">PING\r\n", "<HTTP/1.1 400", ">PING")},
		{"lengths", "not understood", messages(">\x03\x00\x00\x00", "<\x00")}, // shorter than its own size
	} {
		t.Run(c.protocol+" "+c.lines[0].text, func(t *testing.T) {
			s := startScript(t)
			cfg := dialects[c.protocol].cfg
			cfg.Framing.Includes = c.protocol == "lengths"
			f := openLinkFor(t, c.protocol, s.addr, cfg)
			client := connect(t, f.addr)
			server := s.accept(t)
			exchange(client, server, c.lines, false)
			closeBoth(client, server)
			waitUntil(t, "it is told", func() bool {
				return len(slices.DeleteFunc(f.finishedCalls(), func(x Call) bool { return x.Skipped != c.why })) == 1
			})
		})
	}
}
