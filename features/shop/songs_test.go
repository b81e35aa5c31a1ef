package shop

import (
	"net/http"
	"testing"
	"testing/synctest"

	"net/http/httptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTenantLimits has one tenant ask for more than it may, and another one once.
func TestTenantLimits(t *testing.T) {
	for name, c := range map[string]struct {
		without string
		served  int
	}{
		"on":  {"", tenantBurst},
		"off": {tenantLimits, 3 * tenantBurst},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // so that all ask at the same moment
				by, err := parseWithout(c.without)
				require.NoError(t, err)
				p, err := newSongs(config{protected: by})
				require.NoError(t, err)
				get := func(path string) int {
					w := httptest.NewRecorder()
					p.routes.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
					return w.Code
				}
				statuses := make(chan int, 3*tenantBurst)
				for range 3 * tenantBurst {
					go func() { statuses <- get("/noisy/songs") }()
				}
				count := map[int]int{}
				for range 3 * tenantBurst {
					count[<-statuses]++
				}
				assert.Equal(t, c.served, count[http.StatusOK])
				assert.Equal(t, 3*tenantBurst-c.served, count[http.StatusTooManyRequests])
				assert.Equal(t, http.StatusOK, get("/quiet/songs"), "the limit is that of one tenant")
			})
		})
	}
}
