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

func TestFramingsThatCannotBe(t *testing.T) {
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
		{"lines", Framing{}, Rule{Do: LoseReply}, "declare the framing as lockstep"}, {"lengths", Framing{Width: 1}, Rule{Do: Answer, Code: "x"}, "declare the framing as lockstep"},
		{"lines", Framing{Lockstep: true}, Rule{Do: Answer, Code: "a\nb"}, "it must be one line"}, {"lengths", Framing{Width: 1, Lockstep: true}, Rule{Do: Answer}, "say what"},
	} {
		r, err := New(c.protocol, Config{Framing: c.framing})
		require.NoError(t, err)
		_, err = r.Add(c.rule)
		assert.ErrorContains(t, err, c.want)
	}
}

// A line's first word is its operation where it can be one; anything else is content, and stays out of the evidence.
func TestOperationsOfLines(t *testing.T) {
	for text, want := range map[string][2]string{
		"PUT k v\n": {"PUT", "k v"}, "QUIT\r\n": {"QUIT", "QUIT"}, "set\t x\n": {"set", "x"}, "log-in.v2 me\n": {"log-in.v2", "me"}, `{"op":"x"}` + "\n": {"", `{"op":"x"}`},
		"4711 secret\n": {"", "secret"}, strings.Repeat("a", 33) + "\n": {"", strings.Repeat("a", 33)}, "\n": {"", ""}, " a b\n": {"", " a b"}, "a \n": {"a", "a "},
	} {
		f := openLines(Config{}).look(ToServer, []byte(text), nil)
		assert.Equal(t, want, [2]string{f.method, text[f.payload[0]:f.payload[1]]}, text)
	}
}

// A text that the length cannot tell is no answer.
func TestAnAnswerThatIsTooLongForItsLength(t *testing.T) {
	s := play(t)
	f := openAs(t, "lengths", s.addr, Config{Framing: Framing{Width: 1, Lockstep: true}})
	f.live(t, Rule{Do: Answer, Code: strings.Repeat("x", 256)})
	client := connect(t, f.addr)
	talk(client, s.next(t), say(">\x01a", "<\x01A"), false)
	require.Len(t, f.seen(evidence.Skipped), 1)
	assert.Contains(t, f.seen(evidence.Skipped)[0].Detail, "a length of 1 byte cannot tell so much")
}

// Messages whose answer never comes are kept in bounds, and the newest of them are known.
func TestUnansweredMessagesAreForgotten(t *testing.T) {
	var w waiting
	forgotten := 0
	for i := range 10 * mostIDs {
		x := &exchanged{frame: frame{id: strconv.Itoa(i)}, says: fmt.Sprint(i)}
		forgotten += len(w.add(x))
		require.Same(t, x, w.first(x.frame.id))
	}
	assert.Equal(t, 8*mostIDs, forgotten)
	assert.Nil(t, w.first("0"))
	for _, i := range []int{8 * mostIDs, 9 * mostIDs, 10*mostIDs - 1} {
		w.remove(w.first(strconv.Itoa(i)))
		assert.Nil(t, w.first(strconv.Itoa(i)))
	}
	assert.Len(t, w.clear(), 2*mostIDs-3)

	a, b := &exchanged{frame: frame{id: "x"}}, &exchanged{frame: frame{id: "x"}}
	w.add(a)
	w.add(b)
	w.remove(b) // is not the first
	assert.Same(t, a, w.first("x"))
	w.remove(a)
	assert.Same(t, b, w.first("x"), "answers come in the order of the messages")
}
