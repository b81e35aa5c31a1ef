package message

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestInvalidFramings(t *testing.T) {
	for _, c := range []struct {
		protocol string
		framing  Framing
		want     string
	}{
		{"lengths", Framing{}, "a length of 0 bytes: its width must be 1, 2, 4 or 8"}, {"lengths", Framing{Width: 3}, "must be 1, 2, 4 or 8"},
		{"lines", Framing{Width: 4}, "there is no length"}, {"redis", Framing{Lockstep: true}, "framing of redis: only lines and lengths"},
	} {
		_, err := New(c.protocol, Config{Link: "a -> b", Framing: c.framing})
		require.ErrorContains(t, err, `relay link "a -> b": framing`)
		assert.ErrorContains(t, err, c.want)
	}
	for _, c := range []struct {
		protocol string
		framing  Framing
		rule     Rule
		want     string
	}{
		{"lines", Framing{}, Rule{Action: LoseReply}, "declare the framing as lockstep"}, {"lengths", Framing{Width: 1}, Rule{Action: Answer, Code: "x"}, "declare the framing as lockstep"},
		{"lines", Framing{Lockstep: true}, Rule{Action: Answer, Code: "a\nb"}, "it must be one line"}, {"lengths", Framing{Width: 1, Lockstep: true}, Rule{Action: Answer}, "say what"},
	} {
		r, err := New(c.protocol, Config{Framing: c.framing})
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
		f := openLines(Config{}).inspect(ToServer, []byte(text), nil)
		assert.Equal(t, want, [2]string{f.method, text[f.payload[0]:f.payload[1]]}, text)
	}
}

// A text that does not fit the length prefix is not a valid answer.
func TestAnswerTooLongForLengthField(t *testing.T) {
	s := startScript(t)
	f := openLinkFor(t, "lengths", s.addr, Config{Framing: Framing{Width: 1, Lockstep: true}})
	f.addRule(t, Rule{Action: Answer, Code: strings.Repeat("x", 256)})
	client := connect(t, f.addr)
	exchange(client, s.accept(t), messages(">\x01a", "<\x01A"), false)
	require.Len(t, f.recorded(evidence.Skipped), 1)
	assert.Contains(t, f.recorded(evidence.Skipped)[0].Detail, "a length of 1 byte cannot tell so much")
}

// The number of messages waiting for an answer is limited, and the newest are kept.
func TestUnansweredMessagesAreEvicted(t *testing.T) {
	var w pendingIDs
	forgotten := 0
	for i := range 10 * maxIDs {
		x := &framedExchange{frame: frame{id: strconv.Itoa(i)}, detail: fmt.Sprint(i)}
		forgotten += len(w.add(x))
		require.Same(t, x, w.first(x.frame.id))
	}
	assert.Equal(t, 8*maxIDs, forgotten)
	assert.Nil(t, w.first("0"))
	for _, i := range []int{8 * maxIDs, 9 * maxIDs, 10*maxIDs - 1} {
		w.remove(w.first(strconv.Itoa(i)))
		assert.Nil(t, w.first(strconv.Itoa(i)))
	}
	assert.Len(t, w.clear(), 2*maxIDs-3)

	a, b := &framedExchange{frame: frame{id: "x"}}, &framedExchange{frame: frame{id: "x"}}
	w.add(a)
	w.add(b)
	w.remove(b) // not the oldest
	assert.Same(t, a, w.first("x"))
	w.remove(a)
	assert.Same(t, b, w.first("x"), "answers come in the order of the messages")
}
