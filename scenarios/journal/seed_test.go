package journal

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeedsSurviveJSON(t *testing.T) {
	t.Parallel()
	for _, seed := range []Seed{0, 7, 1<<53 + 1, math.MaxUint64} {
		raw, err := json.Marshal(Run{Seed: seed})
		require.NoError(t, err)
		assert.Regexp(t, `"seed":"\d+"`, string(raw))
		var back Run
		require.NoError(t, json.Unmarshal(raw, &back))
		assert.Equal(t, seed, back.Seed)
	}
	var number Run
	require.NoError(t, json.Unmarshal([]byte(`{"seed":18446744073709551615}`), &number))
	assert.Equal(t, Seed(math.MaxUint64), number.Seed)
	assert.Error(t, json.Unmarshal([]byte(`{"seed":"x"}`), &number))
}
