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

// spoken is what the conformance test must know of a framed protocol besides its conversations.
type spoken struct {
	conversations []conversation
	cfg           Config
	code          string // for Answer
	parts         bool   // which ends the connection
	quiet         bool   // a lost message takes nothing else along
	push          string // a message of the server's own accord, if there are any
}

var dialects = map[string]spoken{
	"lengths":  {cfg: Config{Framing: Framing{Width: 4, Little: true, Lockstep: true}}, code: "ERR"},
	"lines":    {cfg: Config{Framing: Framing{Lockstep: true}}, code: "ERR"},
	"nats":     {code: "503", quiet: true, push: "MSG news 2 5\r\nhello\r\n"},
	"postgres": {code: "57P01", parts: true},
	"redis":    {code: "LOADING"},
	"toy":      {},
}

// toy is a protocol of the test's own: messages end with a semicolon, and each to the server is answered.
type toy struct{}

func (toy) feed(_ Dir, b []byte) (int, bool, error) {
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		return i + 1, true, nil
	}
	return len(b), false, nil
}

func (toy) look(d Dir, raw []byte, _ *frame) frame {
	f := frame{kind: isRequest, settles: true, method: string(raw[:1]), payload: [2]int{1, len(raw) - 1}}
	if d == ToClient {
		f.kind = isAnswer
	}
	return f
}

func (toy) sent(*frame) {}

// A row of the table is all that this test needs: the toy's passes it as well.
func TestFramedProtocolsConform(t *testing.T) {
	conversations["toy"] = []conversation{{"question", say(">?why;", "<!because;")}, {"ahead", say(">?a;?b;", "<!a;!b;")}}
	row := Protocol{
		Name: "toy", Unit: "messages", Do: []Do{Delay, LoseRequest, LoseReply, Twice, Reorder, Corrupt},
		serve: framed(func(Config) dialect { return toy{} }), matches: matchWords, class: parts(":"),
	}
	for _, p := range append(Protocols(), row) {
		if p.Unit == "calls" || p.UDP { // have tests of their own
			continue
		}
		s, ok := dialects[p.Name]
		s.conversations = conversations[p.Name]
		require.True(t, ok && len(s.conversations) > 0, "protocol %q needs a row in dialects and conversations", p.Name)
		t.Run(p.Name, func(t *testing.T) { conforms(t, p, s) })
	}
}

// conforms holds a framed protocol to what all of them promise, with scripted peers.
func conforms(t *testing.T, p Protocol, s spoken) {
	t.Run("no rule changes a byte", func(t *testing.T) { unchanged(t, p, s) })
	t.Run("ends arrive as they are", func(t *testing.T) { endsArrive(t, p, s) })
	t.Run("messages may be sent ahead", func(t *testing.T) {
		d := prepare(t, p, s)
		const n = 40
		talk(d.client, d.server, d.turns(n), false)
		part(d.client, d.server)
		until(t, "all calls are told", func() bool { return len(d.f.over()) >= n })
		toServer, toClient := d.f.balanced(t)
		assert.Equal(t, toServer.In, toServer.Out)
		assert.Equal(t, toClient.In, toClient.Out)
		for _, c := range d.f.over() {
			assert.Equal(t, done, c.Status, c.Op)
			assert.Empty(t, c.Skipped)
		}
	})
	for _, do := range p.Do {
		for _, then := range []Ending{"", ThenReset, ThenClosed, ThenSilence, ThenHeld} {
			if then == "" || do == LoseRequest || (do == LoseReply && prepare(t, p, s).answer != "") {
				t.Run(strings.TrimSpace(fmt.Sprint(do, " ", then)), func(t *testing.T) { acts(t, prepare(t, p, s), Rule{Do: do, Then: then}) })
			}
		}
	}
	if slices.Contains(p.Do, Twice) {
		t.Run("twice, late", func(t *testing.T) { acts(t, prepare(t, p, s), Rule{Do: Twice, Late: quiet}) })
		t.Run("twice, second answer", func(t *testing.T) { acts(t, prepare(t, p, s), Rule{Do: Twice, Second: true}) })
	}
	for _, do := range []Do{Delay, LoseRequest, Corrupt, Truncate} {
		if s.push != "" && slices.Contains(p.Do, do) {
			t.Run(string(do)+", to client", func(t *testing.T) { acts(t, prepare(t, p, s), Rule{Do: do, Dir: ToClient}) })
		}
	}
}

func unchanged(t *testing.T, p Protocol, s spoken) {
	for _, c := range s.conversations {
		for _, single := range []bool{false, true} {
			if single && c.name == "large" {
				continue
			}
			for _, ends := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/single=%v/%s ends", c.name, single, ends), func(t *testing.T) {
					up := play(t)
					client := connect(t, openRow(t, p, up.addr, s.cfg).addr)
					server := up.next(t)
					talk(client, server, c.lines, single)
					if ends == "client" {
						part(client, server)
					} else {
						part(server, client)
					}
				})
			}
		}
	}
}

// endsArrive: resets, and half-closes in the middle of a message, arrive as what they are.
func endsArrive(t *testing.T, p Protocol, s spoken) {
	first := s.conversations[0].lines[0].text
	for name, said := range map[string]string{"at once": "", "in a message": first[:len(first)/2], "after a message": first} {
		for _, who := range []string{"client", "server"} {
			for _, end := range []string{"closed", "reset"} {
				t.Run(name+"/"+who+" "+end, func(t *testing.T) {
					up := play(t)
					client := connect(t, openRow(t, p, up.addr, s.cfg).addr)
					server := up.next(t)
					client.send(said, false)
					left := said // of what was said, and not yet heard
					if name == "after a message" {
						server.expect(said)
						left = ""
					}
					a, b := client, server
					if who == "server" {
						a, b, left = server, client, ""
					}
					if end == "reset" {
						a.reset()
						_, how := b.ends(patience)
						assert.Equal(t, "reset", how)
						return
					}
					require.NoError(t, a.CloseWrite())
					rest, how := b.ends(patience)
					assert.Equal(t, "closed", how)
					assert.Equal(t, left, rest)
				})
			}
		}
	}
}

// drill is two peers in front of the message that a fault is tried on.
type drill struct {
	spoken
	f               *front
	up              *script
	client, server  peer
	before          []line
	message, answer string
}

func prepare(t *testing.T, p Protocol, s spoken) *drill {
	d := &drill{spoken: s, up: play(t)}
	all := s.conversations[0].lines
	d.message = all[len(all)-1].text
	d.before = all[:len(all)-1]
	if n := len(all) - 2; all[n+1].from == "<" {
		d.before, d.message, d.answer = all[:n], all[n].text, all[n+1].text
	}
	d.f = openRow(t, p, d.up.addr, s.cfg)
	d.client, d.server = d.join(t)
	return d
}

// join opens a connection and plays it up to the message.
func (d *drill) join(t *testing.T) (client, server peer) {
	client = connect(t, d.f.addr)
	server = d.up.next(t)
	talk(client, server, d.before, false)
	return client, server
}

// turns are so many messages that are sent ahead, and their answers.
func (d *drill) turns(n int) []line {
	all := []line{{">", strings.Repeat(d.message, n)}}
	if d.answer != "" {
		all = append(all, line{"<", strings.Repeat(d.answer, n)})
	}
	return all
}

// acts tries a fault on one message: what both peers see, that it is told once, and that what comes after it passes.
func acts(t *testing.T, d *drill, r Rule) {
	r.First, r.Code = 1, d.code
	switch r.Do {
	case Delay:
		r.By = quiet
	case Reorder:
		r.Wait = patience
	}
	count, heal := d.f.live(t, r)
	if r.Dir == ToClient {
		d.pushed(t, r)
	} else {
		d.meets(t, r, heal)
	}
	until(t, "it is told", func() bool { return count.Tally().Affected == 1 })
	d.f.balanced(t)
	if r.Then != ThenHeld {
		assert.Len(t, d.f.seen(evidence.Applied), 1)
	} else {
		assert.Len(t, d.f.seen(evidence.Released), 1)
	}
	if r.Do == Twice && d.answer != "" {
		assert.Len(t, d.f.seen(evidence.Swallowed), 1)
	}
}

func (d *drill) meets(t *testing.T, r Rule, heal func()) {
	began := time.Now()
	switch r.Do {
	case Delay:
		d.client.send(d.message, false)
		d.server.expect(d.message)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
		d.replies()
	case LoseRequest, LoseReply:
		d.loses(t, r, heal)
		return
	case Answer:
		if d.parts { // the error is the last that the client hears
			d.client.send(d.message, false)
			rest, how := d.client.ends(patience)
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
			d.replies()
			d.server.expect(d.message)
			d.server.send(d.answer, false)
			break
		}
		d.server.expect(d.message + d.message)
		d.server.send(d.answer, false)
		d.replies()
	case Reorder:
		d.client.send(d.message, false)
		until(t, "it is held", func() bool { return len(d.f.seen(evidence.Held)) == 1 })
		client, server := d.join(t)
		talk(client, server, d.turns(1), false)
		d.server.expect(d.message)
		d.replies()
	case Corrupt, Truncate:
		d.client.send(d.message+d.message, false)
		spoiled(t, r.Do, d.message, d.server.before(d.message))
		d.server.send(d.answer+d.answer, false)
		d.client.expect(d.answer + d.answer)
	}
	talk(d.client, d.server, d.turns(2), false)
	part(d.client, d.server)
}

func (d *drill) replies() {
	d.server.send(d.answer, false)
	d.client.expect(d.answer)
}

// loses tries the loss of a message, or of its answer.
func (d *drill) loses(t *testing.T, r Rule, heal func()) {
	d.client.send(d.message, false)
	if r.Do == LoseReply {
		d.server.expect(d.message)
		d.server.send(d.answer, false)
	}
	rest, how := d.client.ends(map[bool]time.Duration{true: quiet, false: patience}[r.Then == ThenSilence || r.Then == ThenHeld || (d.quiet && r.quiet())])
	assert.Empty(t, rest)
	want := map[Ending]string{"": "reset", ThenHeld: "silence"}[r.Then]
	if want == "" {
		want = string(r.Then)
	}
	if d.quiet && r.Then == "" {
		want = "silence"
	}
	assert.Equal(t, want, how)
	switch {
	case r.Then == ThenHeld:
		heal()
		if r.Do == LoseRequest {
			d.server.expect(d.message)
			d.server.send(d.answer, false)
		}
		d.client.expect(d.answer)
	case !d.quiet || !r.quiet():
		return
	}
	talk(d.client, d.server, d.turns(2), false)
	part(d.client, d.server)
}

// pushed tries a fault on a message of the server's own accord.
func (d *drill) pushed(t *testing.T, r Rule) {
	began := time.Now()
	d.server.send(d.push+d.push+d.push, false)
	if r.Do == Corrupt || r.Do == Truncate {
		spoiled(t, r.Do, d.push, d.client.before(d.push+d.push))
	} else if d.client.expect(d.push + d.push); r.Do == Delay {
		d.client.expect(d.push)
		assert.GreaterOrEqual(t, time.Since(began), r.By)
	}
	talk(d.client, d.server, d.turns(2), false)
	part(d.client, d.server)
}

// before reads until text comes, and returns what came before it.
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

func spoiled(t *testing.T, do Do, was, is string) {
	t.Helper()
	if do == Truncate {
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

// A framing need not be in lockstep, and a length may be written in many ways.
func TestFramingsConform(t *testing.T) {
	rows := Protocols()
	row := func(name string) Protocol {
		return rows[slices.IndexFunc(rows, func(p Protocol) bool { return p.Name == name })]
	}
	without := func(p Protocol) Protocol {
		p.Do = slices.DeleteFunc(slices.Clone(p.Do), func(do Do) bool { return do == LoseReply || do == Answer })
		return p
	}
	t.Run("lines, one way", func(t *testing.T) {
		conforms(t, without(row("lines")), spoken{conversations: []conversation{{"send", say(">hello world\r\n", ">hello again\n")}}, quiet: true, push: "and the same to you\n"})
	})
	for prefix, g := range map[string]Framing{
		"\x05": {Width: 1}, "\x06": {Width: 1, Includes: true}, "\x00\x05": {Width: 2}, "\x07\x00": {Width: 2, Little: true, Includes: true}, "\x00\x00\x00\x05": {Width: 4},
		"\x00\x00\x00\x09": {Width: 4, Includes: true}, "\x0d\x00\x00\x00\x00\x00\x00\x00": {Width: 8, Little: true, Includes: true}, "\x00\x00\x00\x00\x00\x00\x00\x05": {Width: 8},
	} {
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			text := prefix + "hello"
			one := spoken{conversations: []conversation{{"send", say(">"+text+text, ">"+text)}}, cfg: Config{Framing: g}, quiet: true, push: text}
			conforms(t, without(row("lengths")), one)
		})
	}
}

// What a framed protocol cannot follow passes, even where no line ever ends, and is told once, whoever said it.
func TestWhatIsNoMessageIsToldAndPassedOn(t *testing.T) {
	for _, c := range []struct {
		protocol, why string
		lines         []line
	}{
		{"nats", "not understood: TLS", say(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"nats", "not understood", say("<RS+ a\r\n", ">RS+ b\r\n")},
		{"redis", "not understood: TLS", say(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">more", "<more")},
		{"redis", "not understood", say("<\r\n", ">PING\r\n", "<+PONG\r\n")},
		{"redis", "not understood", say(">PING\r\n", "<HTTP/1.1 400", ">PING")},
		{"lengths", "not understood", say(">\x03\x00\x00\x00", "<\x00")}, // does not even hold itself
	} {
		t.Run(c.protocol+" "+c.lines[0].text, func(t *testing.T) {
			s := play(t)
			cfg := dialects[c.protocol].cfg
			cfg.Framing.Includes = c.protocol == "lengths"
			f := openAs(t, c.protocol, s.addr, cfg)
			client := connect(t, f.addr)
			server := s.next(t)
			talk(client, server, c.lines, false)
			part(client, server)
			until(t, "it is told", func() bool {
				return len(slices.DeleteFunc(f.over(), func(x Call) bool { return x.Skipped != c.why })) == 1
			})
		})
	}
}
