package framed

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestInvalidFramings(t *testing.T) {
	for _, c := range []struct {
		protocol string
		framing  message.Framing
		want     string
	}{
		{"lengths", message.Framing{}, "a length of 0 bytes: its width must be 1, 2, 4 or 8"}, {"lengths", message.Framing{Width: 3}, "must be 1, 2, 4 or 8"},
		{"lines", message.Framing{Width: 4}, "there is no length"}, {"redis", message.Framing{Lockstep: true}, "framing of redis: only lines and lengths"},
	} {
		_, err := relaytest.NewRelay(c.protocol, message.Config{Link: "a -> b", Framing: c.framing})
		require.ErrorContains(t, err, `relay link "a -> b": framing`)
		assert.ErrorContains(t, err, c.want)
	}
	for _, c := range []struct {
		protocol string
		framing  message.Framing
		rule     message.Rule
		want     string
	}{
		{"lines", message.Framing{}, message.Rule{Action: message.LoseReply}, "declare the framing as lockstep"}, {"lengths", message.Framing{Width: 1}, message.Rule{Action: message.Answer, Code: "x"}, "declare the framing as lockstep"},
		{"lines", message.Framing{Lockstep: true}, message.Rule{Action: message.Answer, Code: "a\nb"}, "it must be one line"}, {"lengths", message.Framing{Width: 1, Lockstep: true}, message.Rule{Action: message.Answer}, "write what to answer with"},
	} {
		r, err := relaytest.NewRelay(c.protocol, message.Config{Framing: c.framing})
		require.NoError(t, err)
		_, err = r.Add(c.rule)
		assert.ErrorContains(t, err, c.want)
	}
}

// The first word of a line is its operation if it is a valid one. All else is content, which never appears in
// the evidence.
func TestOperationsOfLines(t *testing.T) {
	for text, want := range map[string][2]string{
		"PUT k v\n": {"PUT", "k v"}, "QUIT\r\n": {"QUIT", "QUIT"}, "set\t x\n": {"set", "x"}, "log-in.v2 me\n": {"log-in.v2", "me"}, `{"op":"x"}` + "\n": {"", `{"op":"x"}`},
		"4711 secret\n": {"", "secret"}, strings.Repeat("a", 33) + "\n": {"", strings.Repeat("a", 33)}, "\n": {"", ""}, " a b\n": {"", " a b"}, "a \n": {"a", "a "},
	} {
		f := openLines(message.Config{}).Inspect(message.ToServer, []byte(text), nil)
		assert.Equal(t, want, [2]string{f.Method, text[f.Payload[0]:f.Payload[1]]}, text)
	}
}

// A text that does not fit the length prefix is not a valid answer.
func TestAnswerTooLongForLengthField(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "lengths", s.Addr, message.Config{Framing: message.Framing{Width: 1, Lockstep: true}})
	f.AddRule(t, message.Rule{Action: message.Answer, Code: strings.Repeat("x", 256)})
	client := relaytest.Connect(t, f.Addr)
	relaytest.Play(client, s.Accept(t), relaytest.Turns(">\x01a", "<\x01A"), false)
	require.Len(t, f.Recorded(evidence.Skipped), 1)
	assert.Contains(t, f.Recorded(evidence.Skipped)[0].Detail, "a length of 1 byte cannot express that")
}

// The number of messages waiting for an answer is limited, and the newest are kept.
func TestUnansweredMessagesAreEvicted(t *testing.T) {
	var w pendingIDs
	forgotten := 0
	for i := range 10 * maxIDs {
		x := &exchange{frame: Frame{ID: strconv.Itoa(i)}, detail: fmt.Sprint(i)}
		forgotten += len(w.add(x))
		require.Same(t, x, w.first(x.frame.ID))
	}
	assert.Equal(t, 8*maxIDs, forgotten)
	assert.Nil(t, w.first("0"))
	for _, i := range []int{8 * maxIDs, 9 * maxIDs, 10*maxIDs - 1} {
		w.remove(w.first(strconv.Itoa(i)))
		assert.Nil(t, w.first(strconv.Itoa(i)))
	}
	assert.Len(t, w.clear(), 2*maxIDs-3)

	a, b := &exchange{frame: Frame{ID: "x"}}, &exchange{frame: Frame{ID: "x"}}
	w.add(a)
	w.add(b)
	w.remove(b) // not the oldest
	assert.Same(t, a, w.first("x"))
	w.remove(a)
	assert.Same(t, b, w.first("x"), "answers come in the order of the messages")
}
