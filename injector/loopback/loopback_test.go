package loopback

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOnlyRequestsOfThisMachine(t *testing.T) {
	h := Only(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		host    string
		origins []string
		served  bool
	}{
		{"127.0.0.1:8474", nil, true},
		{"localhost:8474", nil, true},
		{"localhost", nil, true},
		{"[::1]:8474", nil, true},
		{"[::1]", nil, true},
		{"127.8.8.8:1", nil, true},
		{"localhost:8474", []string{"http://localhost:8474"}, true},

		{"rebound.example:8474", nil, false},
		{"localhost.example", nil, false},
		{"127.0.0.1.nip.io:80", nil, false},
		{"10.0.0.1:8474", nil, false},
		{"0.0.0.0:8474", nil, false},
		{"", nil, false},
		{"localhost:8474", []string{"http://evil.example"}, false},
		{"localhost:8474", []string{"http://localhost:3000"}, false},
		{"localhost:8474", []string{"https://localhost:8474"}, false},
		{"localhost:8474", []string{"null"}, false},
		{"localhost:8474", []string{"http://localhost:8474", "http://evil.example"}, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/reset", nil)
		r.Host = c.host
		for _, o := range c.origins {
			r.Header.Add("Origin", o)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := http.StatusForbidden
		if c.served {
			want = http.StatusTeapot
		}
		assert.Equal(t, want, w.Code, "%q from %q", c.host, c.origins)
	}
}
