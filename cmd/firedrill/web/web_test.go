package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const s = time.Second

// injected are the events of a scenario with a partition of two links and a fault by hand.
func injected() []journal.Event {
	fault := func(at time.Duration, f journal.Fault) journal.Event {
		return journal.Event{At: at, Scenario: "a", Fault: &f}
	}
	return []journal.Event{
		{At: s, Note: &journal.Note{Kind: "day", By: "ana", Text: "a day"}},
		{At: 2 * s, Scenario: "a", Begin: &journal.Begin{ID: "a", Name: "payments <hang>"}},
		{At: 3 * s, Scenario: "a", Phase: &journal.Phase{Name: "fault"}},
		{At: 3 * s, Scenario: "a", Note: &journal.Note{Kind: "continued", By: "ana", Text: "continue: cut off"}},
		fault(4*s, journal.Fault{ID: "fault-1.1", Stage: "live", Sentence: "cut off", Requested: 30 * s, Unit: "calls"}),
		fault(4*s, journal.Fault{ID: "fault-1.2", Stage: "live", Sentence: "cut off", Requested: 30 * s, Unit: "calls"}),
		fault(5*s, journal.Fault{ID: "fault-1.1", Stage: "counted", Affected: 3, Seen: 5}),
		fault(5*s, journal.Fault{ID: "fault-1.2", Stage: "counted", Affected: 4, Seen: 4}),
		fault(6*s, journal.Fault{ID: "hand-1", Stage: "live", Sentence: "slow", By: "ben"}),
		{At: 6 * s, Scenario: "a", Tick: &journal.Tick{Phase: "fault", Rate: 20, P50: 3500 * time.Microsecond, P99: 80 * time.Millisecond, Ended: 20, Good: 15, Fallback: 3, Errors: 5, Retries: 2, Stop: []journal.StopMeter{{Rule: "few succeed", Now: "75%", Held: 2 * s, For: 10 * s}}}},
		{At: 7 * s, Scenario: "a", Note: &journal.Note{Kind: "note", By: "ben", Text: "the \x1b[31mpager"}},
	}
}

func fed(blind bool, do Actions) *Page {
	p := New("The shop", blind, do)
	for _, e := range injected() {
		p.Event(e)
	}
	p.Ask("next: inject: more")
	return p
}

func stateOf(t *testing.T, p *Page, acts bool) (st state) {
	t.Helper()
	text, _, _ := p.now(acts)
	require.NoError(t, json.Unmarshal(text, &st))
	return st
}

// TestState: the page shows live faults with their ends, the parts of a partition as one, figures, stop rules and notes.
func TestState(t *testing.T) {
	t.Parallel()
	p := fed(false, Actions{})
	st := stateOf(t, p, false)
	assert.Equal(t, []fault{{Sentence: "cut off", Since: 4000, Ends: 34000, Affected: 7, Seen: 9, Unit: "calls"}, {Sentence: "slow", By: "ben", Since: 6000}}, st.Faults)
	assert.Equal(t, []span{{From: 4000}, {From: 6000}}, st.Spans)
	assert.Equal(t, []point{{6000, 20, 3.5, 80, 20, 15, 3, 5, 2}}, st.Points)
	assert.Equal(t, []meter{{"few succeed", "75%", 2000, 10000}}, st.Stop)
	assert.Equal(t, note{7000, "ben", "note", `the \x1b[31mpager`}, st.Notes[2])
	assert.Equal(t, []any{"The shop", "payments <hang>", "fault", "next: inject: more", false, false}, []any{st.Title, st.Scenario, st.Phase, st.Next, st.Acts, st.Hidden})

	healed := func(id string, at time.Duration) {
		p.Event(journal.Event{At: at, Scenario: "a", Fault: &journal.Fault{ID: id, Stage: "healed"}})
	}
	healed("fault-1.1", 8*s)
	require.Len(t, stateOf(t, p, false).Faults, 2, "a part of the partition is live")
	healed("fault-1.2", 9*s)
	st = stateOf(t, p, true)
	assert.Equal(t, []fault{{Sentence: "slow", By: "ben", Since: 6000}}, st.Faults)
	assert.Equal(t, []span{{From: 4000, To: 9000}, {From: 6000}}, st.Spans)
	assert.True(t, st.Acts)

	for i := range 2 * mostPoints {
		p.Event(journal.Event{At: 10*s + time.Duration(i), Scenario: "a", Tick: &journal.Tick{}})
		p.Event(journal.Event{At: 10*s + time.Duration(i), Note: &journal.Note{Text: fmt.Sprint(i)}})
	}
	p.Event(journal.Event{At: 20 * s, Scenario: "a", End: &journal.End{Outcome: "failed"}})
	st = stateOf(t, p, false)
	assert.Len(t, st.Points, mostPoints)
	assert.Len(t, st.Notes, mostNotes)
	assert.Equal(t, note{At: 20000, Text: "payments <hang>: failed"}, st.Notes[mostNotes-1])
	assert.Empty(t, st.Scenario)
}

// TestBlind: without the token, the page of a blind day shows neither the next step, nor the live faults, nor what is watched
// to stop them.
func TestBlind(t *testing.T) {
	t.Parallel()
	p := fed(true, Actions{})
	text, _, _ := p.now(false)
	for _, secret := range []string{"cut off", "slow", "payments", "inject", "34000", "a day", "few succeed", "75%"} {
		assert.NotContains(t, string(text), secret)
	}
	st := stateOf(t, p, false)
	assert.Equal(t, []fault{{Sentence: "a fault", Since: 4000}, {Sentence: "a fault", Since: 6000}}, st.Faults)
	assert.Equal(t, []meter{{Rule: "a stop rule", Held: 2000, For: 10000}}, st.Stop)
	assert.Len(t, st.Notes, 1, "those of the team are shown")
	assert.Len(t, st.Points, 1)
	assert.True(t, st.Hidden)
	all, _, _ := p.now(true)
	assert.Contains(t, string(all), "cut off", "hiding must not change the state")
	assert.Contains(t, string(all), "next: inject: more")
}

// did records what pages do.
type did struct {
	mu  sync.Mutex
	all []string
}

func (d *did) add(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, what)
	if strings.Contains(what, "refuse") {
		return errors.New("refused <so>")
	}
	return nil
}

func (d *did) actions() Actions {
	all := Actions{}
	for _, what := range []string{"note", "detected", "mitigated", "heal", "abort"} {
		all[what] = func(by, text string) error { return d.add(what + " " + by + ": " + text) }
	}
	return all
}

// TestAct: only requests with the token, of this machine and within limits act, and only while the run lasts.
func TestAct(t *testing.T) {
	t.Parallel()
	d := &did{}
	p := fed(false, d.actions())
	server := httptest.NewServer(p.Handler())
	defer server.Close()
	ask := func(token, body string, header ...string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/do"+token, strings.NewReader(body))
		require.NoError(t, err)
		if len(header) > 0 && header[0] == "Host" {
			req.Host = header[1]
		} else if len(header) > 0 {
			req.Header.Set(header[0], header[1])
		}
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	good := "?token=" + p.Token()
	const hello = `{"do":"note","by":" ben ","text":" hello\n you "}`
	refused := func(token, body string, status int, why string, header ...string) {
		t.Helper()
		code, text := ask(token, body, header...)
		assert.Equal(t, status, code, body)
		assert.Contains(t, text, why)
	}
	refused(good, hello, http.StatusConflict, "the run has not begun")
	p.Open()
	refused("", hello, http.StatusForbidden, "read-only")
	refused("?token=guess", hello, http.StatusForbidden, "not that of the run")
	refused(good, hello, http.StatusForbidden, "only for this machine", "Host", "evil.example")
	refused(good, hello, http.StatusForbidden, "pages of other sites", "Origin", "http://evil.example")
	refused(good, `{"do":"note","by":"","text":"x"}`, http.StatusBadRequest, "write your name")
	refused(good, `{"do":"note","by":"ben","text":" "}`, http.StatusBadRequest, "the note is empty")
	refused(good, `{"do":"note","by":"ben","text":"`+strings.Repeat("x", maxText+1)+`"}`, http.StatusBadRequest, "at most 1000 bytes")
	refused(good, `{"do":"heal","by":"`+strings.Repeat("x", maxName+1)+`"}`, http.StatusBadRequest, "at most 100 bytes")
	refused(good, `{"do":"note","by":"ben","text":"`+strings.Repeat("x", maxBody)+`"}`, http.StatusBadRequest, "too large")
	refused(good, `{"do":"shell","by":"ben"}`, http.StatusBadRequest, "cannot be done here")
	refused(good, `{"do":"heal","by":"ben","more":1}`, http.StatusBadRequest, "unknown field")
	refused(good, `{"do":"heal","by":"refuse"}`, http.StatusConflict, "refused <so>")
	require.Equal(t, []string{"heal refuse: "}, d.all)
	bodies := []string{hello}
	for _, what := range []string{"detected", "mitigated", "heal", "abort"} {
		bodies = append(bodies, `{"do":"`+what+`","by":"ana"}`)
	}
	for _, body := range bodies {
		code, text := ask(good, body, "Origin", server.URL)
		assert.Equal(t, http.StatusNoContent, code, text)
	}
	require.Equal(t, []string{"note ben: hello you", "detected ana: ", "mitigated ana: ", "heal ana: ", "abort ana: "}, d.all[1:])
	p.Event(journal.Event{At: 30 * s, End: &journal.End{Outcome: "passed"}})
	refused(good, hello, http.StatusConflict, "the run has ended")
}

// TestEvents: a page is told each change until the run has ended. Too many pages are refused.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := fed(true, Actions{})
	server := httptest.NewServer(p.Handler())
	defer server.Close()
	get := func(path string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		require.NoError(t, err)
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	assert.Equal(t, http.StatusForbidden, get("/events?token=guess").StatusCode)
	index := get("/")
	text, err := io.ReadAll(index.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), "<h2>Stop rules</h2>")
	assert.NotContains(t, string(text), p.Token())
	assert.Regexp(t, `default-src 'none'.*script-src 'sha256-`, index.Header.Get("Content-Security-Policy"))

	next := func(lines *bufio.Reader) (st state) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &st))
		_, err = lines.ReadString('\n')
		require.NoError(t, err)
		return st
	}
	watching, acting := get("/events"), get("/events?token="+p.Token())
	assert.Equal(t, "text/event-stream", watching.Header.Get("Content-Type"))
	watch, act := bufio.NewReader(watching.Body), bufio.NewReader(acting.Body)
	assert.True(t, next(watch).Hidden)
	assert.Equal(t, "next: inject: more", next(act).Next)
	p.Ask("something else")
	assert.Equal(t, "something else", next(act).Next)
	for range maxPages - 2 {
		require.Equal(t, http.StatusOK, get("/events").StatusCode)
	}
	assert.Equal(t, http.StatusServiceUnavailable, get("/events").StatusCode)
	p.Event(journal.Event{At: 30 * s, End: &journal.End{Outcome: "passed"}})
	st := next(act)
	assert.Equal(t, []any{true, "passed", ""}, []any{st.Over, st.Outcome, st.Next})
	_, err = act.ReadByte()
	assert.ErrorIs(t, err, io.EOF, "the run has ended")
}
