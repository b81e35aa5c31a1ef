package effects

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Whatever a client library writes into its errors, no secret leaves a source.
func TestErrorsOfASourceHoldNoSecret(t *testing.T) {
	t.Parallel()
	bad := errors.New("dial postgres://app:canary%40x@db: password canary@x refused, canary@xyz too")
	kind := Kind{"sql", func(Place) (Reader, error) {
		return Reader{
			Read:   func(context.Context, func(journal.Effect) error) error { return bad },
			Answer: func(context.Context) (string, error) { return "", bad },
		}, nil
	}}
	refuses := Kind{"sql", func(Place) (Reader, error) { return Reader{}, bad }}
	secrets := []string{"", "canary@x", "canary%40x", "canary@xyz"}
	p := Place{EffectSource: system.EffectSource{Kind: "sql"}}
	r, err := Open([]Kind{kind}, p, secrets)
	require.NoError(t, err)
	_, answerErr := r.Answer(t.Context())
	_, openErr := Open([]Kind{refuses}, p, secrets)
	for _, err := range []error{r.Read(t.Context(), nil), answerErr, openErr} {
		assert.EqualError(t, err, "dial postgres://app:***@db: password *** refused, *** too")
		assert.ErrorIs(t, err, bad)
	}
}

func TestSourceThatStallsIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := 0
		err := Timed(func(ctx context.Context, each func(journal.Effect) error) error {
			for ; ; n++ {
				if n == 3 {
					<-ctx.Done()
					return ctx.Err()
				}
				time.Sleep(listStall - time.Second)
				if err := each(journal.Effect{}); err != nil {
					return err
				}
			}
		})(t.Context(), func(journal.Effect) error { return nil })
		require.EqualError(t, err, "no effect was received for 10s")
		assert.Equal(t, 3*(listStall-time.Second)+listStall, time.Since(began))
	})
}

// A file that is missing before the load is empty; after the load it is an error, since its name may be wrong.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.log")
	r, err := Open(Kinds(), Place{EffectSource: system.EffectSource{Kind: "file", At: path}}, nil)
	require.NoError(t, err)
	l := NewLedger(Source{Reader: r, Scenario: "s-"})
	require.NoError(t, l.ReadBefore(t.Context()))
	_, err = l.Read(t.Context())
	require.ErrorContains(t, err, "no such file")
	for text, want := range map[string]string{
		"{\"key\":\"s-1\"}\n\n{\"key\":\"s-2\"}\r\n":                "",
		"{\"key\":\"s-1\"}\nlisting\n":                              "line 2 is a number",
		"{\"key\":\"s-1\"}\n{\"id\":3}\n":                           `line 2 has no "key" (it has "id")`,
		"{\"key\":\"" + strings.Repeat("x", maxItemBytes) + "\"}\n": "line 1 is longer than",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		reading, err := l.Read(t.Context())
		if want == "" {
			require.NoError(t, err)
			assert.Equal(t, 2, reading.Effects.Len())
			continue
		}
		assert.ErrorContains(t, err, want)
	}
}

// Pages are followed at one address only, and each once.
func TestNextPage(t *testing.T) {
	t.Parallel()
	next, err := follow("http://127.0.0.1:1/orders?page=1", "/orders?page=2")
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:1/orders?page=2", next)
	_, err = follow("http://127.0.0.1:1/orders", "http://127.0.0.1:2/orders")
	require.ErrorContains(t, err, "only pages of one address are followed")
}

func TestCondition(t *testing.T) {
	t.Parallel()
	answers := []string{"lagging by 7", strings.Repeat("x", 100), "in sync"}
	c := Condition{Holds: func(text string) bool { return text == "in sync" }, Answer: func(context.Context) (string, error) {
		if len(answers) == 0 {
			return "", errors.New("connection refused")
		}
		text := answers[0]
		answers = answers[1:]
		return text, nil
	}}
	require.False(t, c.Once(t.Context()))
	assert.Equal(t, `the last answer was "lagging by 7"`, c.Missing())
	require.False(t, c.Once(t.Context()))
	assert.Less(t, len(c.Missing()), 100)
	require.True(t, c.Once(t.Context()))
	require.False(t, c.Once(t.Context()))
	assert.Equal(t, "the last answer is not known: connection refused", c.Missing())
}
