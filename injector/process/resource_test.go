//go:build linux

package process

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// resources is a server of resources that can be deleted.
type resources struct {
	mu     sync.Mutex
	there  map[string]bool
	refuse int // the status with which it answers instead of deleting; 0 means that it deletes
}

func serveResources(t *testing.T, names ...string) (*resources, string) {
	t.Helper()
	r := &resources{there: map[string]bool{}}
	for _, name := range names {
		r.there[name] = true
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func (r *resources) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.there[q.URL.Path]:
		w.WriteHeader(http.StatusNotFound)
	case q.Method == http.MethodDelete && r.refuse != 0:
		w.WriteHeader(r.refuse)
	case q.Method == http.MethodDelete:
		delete(r.there, q.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (r *resources) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.there[name]
}

// The guardian deletes the resource that a killed program has recorded.
func TestGuardianDeletesResources(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	server, url := serveResources(t, "/toxics/ours", "/toxics/others")
	dir := t.TempDir()
	cmd, left := startLeaver(t, dir, "1h", "RESOURCE="+url+"/toxics/ours")
	guardian := guardianPID(cmd.Process.Pid)
	require.True(t, server.has("/toxics/ours"))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	gone(t, dir, left, guardian)
	require.False(t, server.has("/toxics/ours"))
	require.True(t, server.has("/toxics/others"))
}

func TestDeleteResource(t *testing.T) {
	t.Parallel()
	server, url := serveResources(t, "/a")
	server.refuse = http.StatusInternalServerError
	_, _, err := removeRecorded(url + "/a")
	require.EqualError(t, err, "delete "+url+"/a: the answer is status 500")

	server.refuse = http.StatusAccepted // it says that it does, and does not
	_, _, err = removeRecorded(url + "/a")
	require.EqualError(t, err, "verify that "+url+"/a was deleted: the answer is status 200, not 404")

	server.refuse = 0
	undone, proved, err := removeRecorded(url + "/a")
	require.NoError(t, err)
	require.Equal(t, "deleted "+url+"/a", undone)
	require.Equal(t, url+"/a does not exist", proved)

	undone, proved, err = removeRecorded(url + "/a")
	require.NoError(t, err)
	require.Empty(t, undone)
	require.Equal(t, url+"/a does not exist", proved)

	stopped := httptest.NewServer(server)
	stopped.Close()
	undone, proved, err = removeRecorded(stopped.URL + "/a")
	require.NoError(t, err)
	require.Empty(t, undone)
	require.Equal(t, stopped.URL+"/a does not exist", proved)
}
