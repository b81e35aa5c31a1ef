package framed

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
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// toy is a protocol for this test: messages end with a semicolon, and each message to the server is answered.
type toy struct{}

func (toy) Feed(_ message.Dir, b []byte) (int, bool, error) {
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		return i + 1, true, nil
	}
	return len(b), false, nil
}

func (toy) Inspect(d message.Dir, raw []byte, _ *Frame) Frame {
	f := Frame{Kind: Request, Final: true, Method: string(raw[:1]), Payload: [2]int{1, len(raw) - 1}}
	if d == message.ToClient {
		f.Kind = Response
	}
	return f
}

func (toy) Sent(*Frame) {}

// An entry in the protocol table is enough for this test: the toy protocol passes it, too.
func TestFramedProtocolsConform(t *testing.T) {
	relaytest.Conversations["toy"] = []relaytest.Conversation{{Name: "question", Lines: relaytest.Turns(">?why;", "<!because;")}, {Name: "ahead", Lines: relaytest.Turns(">?a;?b;", "<!a;!b;")}}
	row := message.Protocol{
		Name: "toy", Unit: "messages", Actions: []message.Action{message.Delay, message.LoseRequest, message.LoseReply, message.Twice, message.Reorder, message.Corrupt, message.DelayReply, message.CorruptReply},
		Serve: Serve(func(message.Config) Dialect { return toy{} }), Matches: message.MatchWords, Class: message.ClassByParts(":"),
	}
	for _, p := range append(rows(), row) {
		if p.Unit == "calls" || p.UDP { // these have tests of their own
			continue
		}
		s, ok := relaytest.Cases[p.Name]
		s.Conversations = relaytest.Conversations[p.Name]
		require.True(t, ok && len(s.Conversations) > 0, "protocol %q needs a row in dialects and conversations", p.Name)
		t.Run(p.Name, func(t *testing.T) { checkConforms(t, p, s) })
	}
}

// checkConforms checks, with scripted peers, what every framed protocol must do.
func checkConforms(t *testing.T, p message.Protocol, s relaytest.Case) {
	t.Run("no rule changes a byte", func(t *testing.T) { checkUnchanged(t, p, s) })
	t.Run("ends arrive as they are", func(t *testing.T) { checkEnds(t, p, s) })
	t.Run("messages may be sent ahead", func(t *testing.T) {
		d := newFaultTest(t, p, s)
		const n = 40
		relaytest.Play(d.Client, d.Server, d.turns(n), false)
		relaytest.CloseBoth(d.Client, d.Server)
		relaytest.WaitUntil(t, "all calls are told", func() bool { return len(d.f.FinishedCalls()) >= n })
		toServer, toClient := d.f.CheckAccounts(t)
		assert.Equal(t, toServer.Received, toServer.Delivered)
		assert.Equal(t, toClient.Received, toClient.Delivered)
		for _, c := range d.f.FinishedCalls() {
			assert.Equal(t, done, c.Status, c.Op)
			assert.Empty(t, c.Skipped)
		}
	})
	for _, action := range p.Actions {
		for _, ending := range []message.Ending{"", message.EndReset, message.EndClosed, message.EndSilence, message.EndHeld} {
			if (action == message.DelayReply || action == message.CorruptReply || action == message.TruncateReply) && s.Call.From == "" && newFaultTest(t, p, s).Answer == "" {
				continue
			}
			if ending == "" || action == message.LoseRequest || (action == message.LoseReply && newFaultTest(t, p, s).Answer != "") {
				t.Run(strings.TrimSpace(fmt.Sprint(action, " ", ending)), func(t *testing.T) { checkActs(t, newFaultTest(t, p, s), message.Rule{Action: action, EndWith: ending}) })
			}
		}
	}
	if slices.Contains(p.Actions, message.Twice) {
		t.Run("twice, late", func(t *testing.T) {
			checkActs(t, newFaultTest(t, p, s), message.Rule{Action: message.Twice, Late: relaytest.Quiet})
		})
		t.Run("twice, second answer", func(t *testing.T) {
			checkActs(t, newFaultTest(t, p, s), message.Rule{Action: message.Twice, Second: true})
		})
	}
	for _, action := range []message.Action{message.Delay, message.LoseRequest, message.Corrupt, message.Truncate} {
		if s.Push != "" && slices.Contains(p.Actions, action) {
			t.Run(string(action)+", to client", func(t *testing.T) {
				checkActs(t, newFaultTest(t, p, s), message.Rule{Action: action, Dir: message.ToClient})
			})
		}
	}
}

func checkUnchanged(t *testing.T, p message.Protocol, s relaytest.Case) {
	for _, c := range s.Conversations {
		for _, single := range []bool{false, true} {
			if single && c.Name == "large" {
				continue
			}
			for _, closer := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/single=%v/%s ends", c.Name, single, closer), func(t *testing.T) {
					up := relaytest.StartScript(t)
					client := relaytest.Connect(t, relaytest.OpenProtocol(t, p, up.Addr, s.Cfg).Addr)
					server := up.Accept(t)
					relaytest.Play(client, server, c.Lines, single)
					if closer == "client" {
						relaytest.CloseBoth(client, server)
					} else {
						relaytest.CloseBoth(server, client)
					}
				})
			}
		}
	}
}

// checkEnds checks that resets, and half-closes in the middle of a message, are forwarded as such.
func checkEnds(t *testing.T, p message.Protocol, s relaytest.Case) {
	first := s.Conversations[0].Lines[0].Text
	for name, sent := range map[string]string{"at once": "", "in a message": first[:len(first)/2], "after a message": first} {
		for _, side := range []string{"client", "server"} {
			for _, end := range []string{"closed", "reset"} {
				t.Run(name+"/"+side+" "+end, func(t *testing.T) {
					up := relaytest.StartScript(t)
					client := relaytest.Connect(t, relaytest.OpenProtocol(t, p, up.Addr, s.Cfg).Addr)
					server := up.Accept(t)
					client.Send(sent, false)
					unreceived := sent // sent, but not yet received
					if name == "after a message" {
						server.Expect(sent)
						unreceived = ""
					}
					first, second := client, server
					if side == "server" {
						first, second, unreceived = server, client, ""
					}
					if end == "reset" {
						first.Reset()
						_, how := second.ReadToEnd(relaytest.Patience)
						assert.Equal(t, "reset", how)
						return
					}
					require.NoError(t, first.CloseWrite())
					rest, how := second.ReadToEnd(relaytest.Patience)
					assert.Equal(t, "closed", how)
					assert.Equal(t, unreceived, rest)
				})
			}
		}
	}
}

// faultTest is a client and a server, up to the message that the fault acts on.
type faultTest struct {
	relaytest.Case
	f               *relaytest.TestLink
	up              *relaytest.ScriptedServer
	Client, Server  relaytest.Peer
	Before          []relaytest.Turn
	message, Answer string
}

func newFaultTest(t *testing.T, p message.Protocol, s relaytest.Case) *faultTest {
	d := &faultTest{Case: s, up: relaytest.StartScript(t)}
	all := s.Conversations[0].Lines
	d.message = all[len(all)-1].Text
	d.Before = all[:len(all)-1]
	if n := len(all) - 2; all[n+1].From == "<" {
		d.Before, d.message, d.Answer = all[:n], all[n].Text, all[n+1].Text
	}
	d.f = relaytest.OpenProtocol(t, p, d.up.Addr, s.Cfg)
	d.Client, d.Server = d.connect(t)
	return d
}

// connect opens a connection and plays the conversation up to the message.
func (d *faultTest) connect(t *testing.T) (client, server relaytest.Peer) {
	client = relaytest.Connect(t, d.f.Addr)
	server = d.up.Accept(t)
	relaytest.Play(client, server, d.Before, false)
	return client, server
}

// turns returns n messages sent ahead and their answers.
func (d *faultTest) turns(n int) []relaytest.Turn {
	all := []relaytest.Turn{{From: ">", Text: strings.Repeat(d.message, n)}}
	if d.Answer != "" {
		all = append(all, relaytest.Turn{From: "<", Text: strings.Repeat(d.Answer, n)})
	}
	return all
}

// checkActs applies a fault to one message. It checks what both peers see, that the fault is recorded once, and
// that later messages pass.
func checkActs(t *testing.T, d *faultTest, r message.Rule) {
	r.First, r.Code = 1, d.Code
	switch r.Action {
	case message.Delay, message.DelayReply:
		r.By = relaytest.Quiet
	case message.Reorder:
		r.Wait = relaytest.Patience
	}
	if r.Action.OfReply() && r.Action != message.LoseReply && d.Call.From != "" {
		d.message, d.Answer = d.Call.From, d.Call.Text
	}
	count, heal := d.f.AddRule(t, r)
	if r.Dir == message.ToClient {
		d.checkPush(t, r)
	} else {
		d.checkOutcome(t, r, heal)
	}
	relaytest.WaitUntil(t, "it is reported", func() bool { return count.Tally().Affected == 1 })
	d.f.CheckAccounts(t)
	if r.EndWith != message.EndHeld {
		assert.Len(t, d.f.Recorded(evidence.Applied), 1)
	} else {
		assert.Len(t, d.f.Recorded(evidence.Released), 1)
	}
	if r.Action == message.Twice && d.Answer != "" {
		assert.Len(t, d.f.Recorded(evidence.Discarded), 1)
	}
}

func (d *faultTest) checkOutcome(t *testing.T, r message.Rule, heal func()) {
	began := time.Now()
	switch r.Action {
	case message.Delay:
		d.Client.Send(d.message, false)
		d.Server.Expect(d.message)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
		d.answerAll()
	case message.DelayReply:
		d.Client.Send(d.message, false)
		d.Server.Expect(d.message)
		d.answerAll()
		assert.GreaterOrEqual(t, time.Since(began), r.By)
	case message.CorruptReply, message.TruncateReply:
		d.Client.Send(d.message+d.message, false)
		d.Server.Expect(d.message + d.message)
		d.Server.Send(d.Answer+d.Answer, false)
		checkDamaged(t, r.Action, d.Answer, d.Client.Before(d.Answer))
	case message.LoseRequest, message.LoseReply:
		d.checkLost(t, r, heal)
		return
	case message.Answer:
		if d.Closes { // the client receives nothing after the error
			d.Client.Send(d.message, false)
			rest, how := d.Client.ReadToEnd(relaytest.Patience)
			assert.Contains(t, rest, r.Code)
			assert.Equal(t, "closed", how)
			return
		}
		d.Client.Send(d.message+d.message, false)
		d.Server.Expect(d.message)
		d.Server.Send(d.Answer, false)
		assert.Contains(t, d.Client.Before(d.Answer), r.Code)
	case message.Twice:
		d.Client.Send(d.message, false)
		if r.Late > 0 {
			d.Server.Expect(d.message)
			d.answerAll()
			d.Server.Expect(d.message)
			d.Server.Send(d.Answer, false)
			break
		}
		d.Server.Expect(d.message + d.message)
		d.Server.Send(d.Answer, false)
		d.answerAll()
	case message.Reorder:
		d.Client.Send(d.message, false)
		relaytest.WaitUntil(t, "it is held", func() bool { return len(d.f.Recorded(evidence.Held)) == 1 })
		client, server := d.connect(t)
		relaytest.Play(client, server, d.turns(1), false)
		d.Server.Expect(d.message)
		d.answerAll()
	case message.Corrupt, message.Truncate:
		d.Client.Send(d.message+d.message, false)
		checkDamaged(t, r.Action, d.message, d.Server.Before(d.message))
		d.Server.Send(d.Answer+d.Answer, false)
		d.Client.Expect(d.Answer + d.Answer)
	}
	relaytest.Play(d.Client, d.Server, d.turns(2), false)
	relaytest.CloseBoth(d.Client, d.Server)
}

func (d *faultTest) answerAll() {
	d.Server.Send(d.Answer, false)
	d.Client.Expect(d.Answer)
}

// checkLost checks the loss of a message, or of its answer.
func (d *faultTest) checkLost(t *testing.T, r message.Rule, heal func()) {
	d.Client.Send(d.message, false)
	if r.Action == message.LoseReply {
		d.Server.Expect(d.message)
		d.Server.Send(d.Answer, false)
	}
	rest, how := d.Client.ReadToEnd(map[bool]time.Duration{true: relaytest.Quiet, false: relaytest.Patience}[r.EndWith == message.EndSilence || r.EndWith == message.EndHeld || (d.LosesOnlyMessage && r.LosesOnlyMessage())])
	assert.Empty(t, rest)
	want := map[message.Ending]string{"": "reset", message.EndHeld: "silence"}[r.EndWith]
	if want == "" {
		want = string(r.EndWith)
	}
	if d.LosesOnlyMessage && r.EndWith == "" {
		want = "silence"
	}
	assert.Equal(t, want, how)
	switch {
	case r.EndWith == message.EndHeld:
		heal()
		if r.Action == message.LoseRequest {
			d.Server.Expect(d.message)
			d.Server.Send(d.Answer, false)
		}
		d.Client.Expect(d.Answer)
	case !d.LosesOnlyMessage || !r.LosesOnlyMessage():
		return
	}
	relaytest.Play(d.Client, d.Server, d.turns(2), false)
	relaytest.CloseBoth(d.Client, d.Server)
}

// checkPush checks a fault on a message pushed by the server.
func (d *faultTest) checkPush(t *testing.T, r message.Rule) {
	began := time.Now()
	d.Server.Send(d.Push+d.Push+d.Push, false)
	if r.Action == message.Corrupt || r.Action == message.Truncate {
		checkDamaged(t, r.Action, d.Push, d.Client.Before(d.Push+d.Push))
	} else if d.Client.Expect(d.Push + d.Push); r.Action == message.Delay {
		d.Client.Expect(d.Push)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
	}
	relaytest.Play(d.Client, d.Server, d.turns(2), false)
	relaytest.CloseBoth(d.Client, d.Server)
}

func checkDamaged(t *testing.T, action message.Action, was, is string) {
	t.Helper()
	if action == message.Truncate || action == message.TruncateReply {
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
	rows := rows()
	row := func(name string) message.Protocol {
		return rows[slices.IndexFunc(rows, func(p message.Protocol) bool { return p.Name == name })]
	}
	without := func(p message.Protocol) message.Protocol {
		p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(do message.Action) bool { return do.OfReply() || do == message.Answer })
		return p
	}
	t.Run("lines, one way", func(t *testing.T) {
		checkConforms(t, without(row("lines")), relaytest.Case{Conversations: []relaytest.Conversation{{Name: "send", Lines: relaytest.Turns(">hello world\r\n", ">hello again\n")}}, LosesOnlyMessage: true, Push: "and the same to you\n"})
	})
	for prefix, g := range map[string]message.Framing{
		"\x05": {Width: 1}, "\x06": {Width: 1, Includes: true}, "\x00\x05": {Width: 2}, "\x07\x00": {Width: 2, Little: true, Includes: true}, "\x00\x00\x00\x05": {Width: 4},
		"\x00\x00\x00\x09": {Width: 4, Includes: true}, "\x0d\x00\x00\x00\x00\x00\x00\x00": {Width: 8, Little: true, Includes: true}, "\x00\x00\x00\x00\x00\x00\x00\x05": {Width: 8},
	} {
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			text := prefix + "hello"
			one := relaytest.Case{Conversations: []relaytest.Conversation{{Name: "send", Lines: relaytest.Turns(">"+text+text, ">"+text)}}, Cfg: message.Config{Framing: g}, LosesOnlyMessage: true, Push: text}
			checkConforms(t, without(row("lengths")), one)
		})
	}
}

// Input that cannot be parsed passes through, even without any line ending, and is reported once, whichever side
// sent it.
func TestUnparsableInputIsReportedAndForwarded(t *testing.T) {
	for _, c := range []struct {
		protocol, why string
		lines         []relaytest.Turn
	}{
		{"nats", "not understood: TLS", relaytest.Turns(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"nats", "not understood", relaytest.Turns("<RS+ a\r\n", ">RS+ b\r\n")},
		{"redis", "not understood: TLS", relaytest.Turns(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"redis", "not understood", relaytest.Turns("<\r\n", ">PING\r\n", "<+PONG\r\n")},
		{"redis", "not understood", relaytest.Turns(">PING\r\n", "<HTTP/1.1 400", ">PING")},
		{"lengths", "not understood", relaytest.Turns(">\x03\x00\x00\x00", "<\x00")}, // shorter than its own size
	} {
		t.Run(c.protocol+" "+c.lines[0].Text, func(t *testing.T) {
			s := relaytest.StartScript(t)
			cfg := relaytest.Cases[c.protocol].Cfg
			cfg.Framing.Includes = c.protocol == "lengths"
			f := relaytest.OpenLinkFor(t, c.protocol, s.Addr, cfg)
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			relaytest.Play(client, server, c.lines, false)
			relaytest.CloseBoth(client, server)
			relaytest.WaitUntil(t, "it is reported", func() bool {
				return len(slices.DeleteFunc(f.FinishedCalls(), func(x message.Call) bool { return x.Skipped != c.why })) == 1
			})
		})
	}
}
