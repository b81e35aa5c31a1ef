package runner

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// A key sent by a load is recognized as that of some run, so that effects left by another run are not
// phantoms.
func TestRunKeysAreRecognized(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"orders.feature:2", "x", ""} {
		s := &session{e: &scenarios.Experiment{ID: id}, run: &runState{short: "b8e58f"}, try: try{number: 1}}
		for i, n := range []uint64{0, 17, 1 << 40} {
			c := load.NewClient(t.Context(), load.Config{Load: &scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key")}, KeyPrefix: s.keyPrefixOf(i)})
			key := c.Key(n)
			assert.True(t, load.IsRunKey(key), key)
			got, ok := load.NumberOf(s.keyPrefixOf(i), key)
			assert.True(t, ok, key)
			assert.Equal(t, n, got)
			_, ok = load.NumberOf(s.keyPrefixOf(i+1), key)
			assert.False(t, ok, "of another load")
			assert.True(t, strings.HasPrefix(key, s.keyPrefix()+"-"), "of this scenario")
			for _, other := range []string{strings.ToUpper(key), key + "x", key + "-1", "order:" + key, key[1:], strings.TrimRight(key, "0123456789")} {
				assert.False(t, load.IsRunKey(other), other)
			}
		}
	}
	for _, other := range []string{"", "o-1", "b8e58f", "b8e58f-0d4e5f60"} {
		assert.False(t, load.IsRunKey(other), other)
	}
	_, ok := load.NumberOf("b8e58f-0d4e5f60", "b8e58f-0d4e5f61-1")
	assert.False(t, ok, "of another scenario")
}
