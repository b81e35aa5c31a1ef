package control

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// stranger is the variable with a folder whose run the program asks, as TestAnotherUserGetsNoAnswer starts it.
const stranger = "FIREDRILL_TEST_STRANGER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(stranger); dir != "" {
		conn, err := net.Dial("unix", filepath.Join(dir, Name))
		if err == nil {
			_, _ = conn.Write([]byte(`{"version": 1, "do": "abort"}` + "\n"))
			_, _ = io.Copy(os.Stdout, conn)
			os.Stdout.WriteString("connected")
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// echo answers with what was asked.
func echo(_ context.Context, r Request, _ func(Reply)) Reply {
	if r.Do == "fail" {
		return Reply{Error: "it failed"}
	}
	return Reply{Lines: []string{r.Do, r.By}}
}

func serve(t *testing.T, dir string, handle Handler) *Server {
	t.Helper()
	s, err := Listen(dir, handle)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestRequestsAndReplies(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, echo)
	reply, err := Call(t.Context(), dir, Request{Do: "abort", By: "me"})
	require.NoError(t, err)
	assert.Equal(t, []string{"abort", "me"}, reply.Lines)
	_, err = Call(t.Context(), dir, Request{Do: "fail"})
	require.EqualError(t, err, "it failed")
}

// The folder of a run may have a longer path than a socket can have.
func TestLongPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc/self/fd")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	serve(t, dir, echo)
	reply, err := Call(t.Context(), dir, Request{Do: "status"})
	require.NoError(t, err)
	assert.Equal(t, "status", reply.Lines[0])
}

func TestOnlyItsOwnerCanUseTheSocket(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	s, err := Listen(dir, echo)
	require.NoError(t, err)
	defer s.Close()
	info, err := os.Stat(filepath.Join(dir, Name))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	info, err = os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// Even where the modes of files do not keep another user away, he is not answered.
func TestAnotherUserGetsNoAnswer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a program as another user")
	}
	called := make(chan Request, 1)
	dir, err := os.MkdirTemp("", "stranger") // whose parent everybody may enter
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	serve(t, dir, func(_ context.Context, r Request, _ func(Reply)) Reply { called <- r; return Reply{} })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, Name), 0o666))
	program, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	copied := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(copied, program, 0o755))
	cmd := exec.CommandContext(t.Context(), copied)
	cmd.Env, cmd.Dir = []string{stranger + "=" + dir}, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "connected", string(out), "it could connect, and got no answer")
	assert.Empty(t, called, "nothing was done")

	_, err = Call(t.Context(), dir, Request{Do: "abort"})
	require.ErrorContains(t, err, "may be used by other users", "nor does the client ask such a socket")
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, echo)
	_, err := Call(t.Context(), dir, Request{Do: strings.Repeat("x", maxMessage)})
	require.Error(t, err, "a request is limited")
	_, err = Call(t.Context(), dir, Request{Do: "status"})
	require.NoError(t, err, "and the server goes on")

	ctx, cancel := context.WithCancel(t.Context())
	blocked := t.TempDir()
	began := make(chan struct{})
	serve(t, blocked, func(ctx context.Context, _ Request, _ func(Reply)) Reply { close(began); <-ctx.Done(); return Reply{} })
	go func() { <-began; cancel() }()
	_, err = Call(ctx, blocked, Request{Do: "abort"})
	require.ErrorIs(t, err, context.Canceled, "a client waits as long as its context")
}

// A client that connects and says nothing delays neither other clients nor the end.
func TestSilentClient(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(dir, echo)
	require.NoError(t, err)
	conn, err := net.Dial("unix", filepath.Join(dir, Name))
	require.NoError(t, err)
	defer conn.Close()
	_, err = Call(t.Context(), dir, Request{Do: "status"})
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, s.Close())
	assert.Less(t, time.Since(began), readWithin)
}

func TestRunning(t *testing.T) {
	runs := t.TempDir()
	for _, name := range []string{"b", "a", "ended", "file", "stale"} {
		require.NoError(t, os.Mkdir(filepath.Join(runs, name), 0o700))
	}
	serve(t, filepath.Join(runs, "a"), echo)
	serve(t, filepath.Join(runs, "b"), echo)
	require.NoError(t, os.Symlink("b", filepath.Join(runs, "latest")))
	require.NoError(t, os.WriteFile(filepath.Join(runs, "file", Name), nil, 0o600))
	dead(t, filepath.Join(runs, "stale"), 0o600)
	all, err := Running(t.Context(), runs)
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(runs, "a"), filepath.Join(runs, "b")}, all)
	none, err := Running(t.Context(), filepath.Join(runs, "nothing"))
	require.NoError(t, err)
	assert.Empty(t, none)
	_, err = Call(t.Context(), filepath.Join(runs, "stale"), Request{Do: "status"})
	require.ErrorContains(t, err, "is over: it was killed")
	_, err = Call(t.Context(), filepath.Join(runs, "ended"), Request{Do: "status"})
	require.ErrorContains(t, err, "nothing runs in")
}

// A run that does not answer is listed: whoever wants to abort it must not read that nothing runs.
func TestRunningWithoutAnswer(t *testing.T) {
	runs := t.TempDir()
	hangs := filepath.Join(runs, "hangs")
	require.NoError(t, os.Mkdir(hangs, 0o700))
	serve(t, hangs, func(ctx context.Context, _ Request, _ func(Reply)) Reply { <-ctx.Done(); return Reply{} })
	all, err := Running(t.Context(), runs)
	require.NoError(t, err)
	assert.Equal(t, []string{hangs}, all)
}

// What a reply says may be longer than a client reads, such as the names of thousands of proxies.
func TestLongReplies(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("\x00é", maxMessage)
	serve(t, dir, func(_ context.Context, r Request, _ func(Reply)) Reply {
		if r.Do == "fail" {
			return Reply{Error: long}
		}
		return Reply{Lines: append([]string{"first", long}, strings.Split(long, "é")...)}
	})
	reply, err := Call(t.Context(), dir, Request{Do: "status"})
	require.NoError(t, err)
	require.Len(t, reply.Lines, 3)
	assert.Equal(t, "first", reply.Lines[0])
	assert.Regexp(t, `^\x00é.*…$`, reply.Lines[1])
	assert.Equal(t, "… and 65537 more", reply.Lines[2])
	_, err = Call(t.Context(), dir, Request{Do: "fail"})
	require.ErrorContains(t, err, "\x00é\x00é")
	assert.Less(t, len(err.Error()), maxMessage)
}

// dead leaves a socket on which nothing listens.
func dead(t *testing.T, folder string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o700))
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, Name), Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
	require.NoError(t, os.Chmod(filepath.Join(folder, Name), mode))
}

// Only sockets on which nothing listens are removed, and of folders only those that hold nothing else.
func TestRemoveStale(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"live", "ended", "file", "full"} {
		require.NoError(t, os.Mkdir(in(name), 0o700))
	}
	serve(t, in("live"), echo)
	dead(t, in("full"), 0o600)
	dead(t, in("alone"), 0o600)
	dead(t, in("others"), 0o666)
	for _, name := range []string{"full/journal.ndjson", "file/" + Name} {
		require.NoError(t, os.WriteFile(in(name), nil, 0o600))
	}
	require.NoError(t, os.Symlink("full", in("latest")))
	of, err := RemoveStale(t.Context(), dir)
	require.NoError(t, err)
	assert.Equal(t, []string{in("alone"), in("full")}, of)
	assert.NoDirExists(t, in("alone"))
	assert.NoFileExists(t, in("full/"+Name))
	for _, stays := range []string{"full/journal.ndjson", "file/" + Name, "live/" + Name, "others/" + Name} {
		assert.FileExists(t, in(stays))
	}
	_, err = Call(t.Context(), in("live"), Request{Do: "status"})
	require.NoError(t, err)
	of, err = RemoveStale(t.Context(), in("nothing"))
	require.NoError(t, err)
	assert.Empty(t, of)
}

// A socket has its name only once it listens, so that it is not taken for that of a killed program while a server begins or
// ends.
func TestSocketsThatBeginAreNotStale(t *testing.T) {
	before := syscall.Umask(0o077) // with which a new socket looks like one of ours at once
	defer syscall.Umask(before)
	for range 300 {
		dir := t.TempDir()
		folder := filepath.Join(dir, "run")
		require.NoError(t, os.Mkdir(folder, 0o700))
		ended := make(chan struct{})
		var removing sync.WaitGroup
		removing.Go(func() {
			for {
				of, err := RemoveStale(t.Context(), dir)
				assert.NoError(t, err)
				assert.Empty(t, of)
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		s, err := Listen(folder, echo)
		if assert.NoError(t, err) {
			_, err = Call(t.Context(), folder, Request{Do: "status"})
			assert.NoError(t, err)
			assert.NoError(t, s.Close())
		}
		close(ended)
		removing.Wait()
		if t.Failed() {
			return
		}
	}
}

// Only what the protocol has is understood: another version, a field too many, and a second value are refused.
func TestRequestsAreStrict(t *testing.T) {
	dir := t.TempDir()
	called := make(chan Request, 10)
	serve(t, dir, func(_ context.Context, r Request, _ func(Reply)) Reply {
		called <- r
		return Reply{Lines: []string{"done"}}
	})
	ask := func(line string) string {
		conn, err := net.Dial("unix", filepath.Join(dir, Name))
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte(line + "\n"))
		require.NoError(t, err)
		raw, err := io.ReadAll(conn)
		require.NoError(t, err)
		return string(raw)
	}
	for line, says := range map[string]string{
		`{"do": "abort"}`:                                  "version 0 of the control protocol",
		`{"version": 2, "do": "abort"}`:                    "version 2 of the control protocol",
		`{"version": 1, "do": "abort", "command": ["rm"]}`: `unknown field \"command\"`,
		`{"version": 1, "do": "abort"} {"version": 1}`:     "more than one value",
		`{"version": 1, "do": ["abort"]}`:                  "cannot unmarshal",
		`GET / HTTP/1.1`:                                   "invalid character",
	} {
		assert.Contains(t, ask(line), says, line)
	}
	assert.Empty(t, called, "none of them was done")
	assert.Contains(t, ask(`{"version": 1, "do": "abort"}`), "done")
}

// hold asks for something that lasts until the client ends. The first reply says that it began; the last says why it
// ended.
func hold(ctx context.Context, _ Request, tell func(Reply)) Reply {
	tell(Reply{Lines: []string{"began"}})
	<-ctx.Done()
	return Reply{Lines: []string{context.Cause(ctx).Error()}}
}

func TestHoldEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, hold)
	ctx, cancel := context.WithCancel(t.Context())
	reply, err := Hold(ctx, dir, Request{Do: "inject"}, func(r Reply) {
		assert.Equal(t, []string{"began"}, r.Lines)
		cancel()
	})
	require.NoError(t, err, "the last reply is awaited")
	assert.Equal(t, []string{errGone.Error()}, reply.Lines)
}

// A client that is gone, or that sends no sign of life, loses what it holds.
func TestLeaseOfAClient(t *testing.T) {
	dir := t.TempDir()
	ended := make(chan error, 2)
	s, err := listen(dir, func(ctx context.Context, _ Request, tell func(Reply)) Reply {
		tell(Reply{Lines: []string{"began"}})
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return Reply{}
	}, 300*time.Millisecond)
	require.NoError(t, err)
	defer s.Close()
	begin := func() net.Conn {
		conn, err := net.Dial("unix", filepath.Join(dir, Name))
		require.NoError(t, err)
		_, err = conn.Write([]byte(`{"version": 1, "do": "inject", "hold": true}` + "\n"))
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 100))
		require.NoError(t, err)
		return conn
	}
	silent := begin()
	defer silent.Close()
	require.ErrorContains(t, <-ended, "did not run for 300ms")
	require.NoError(t, begin().Close())
	require.ErrorIs(t, <-ended, errGone)
}

// Clients that hold something keep nobody from asking for more, such as for an abort.
func TestHoldersDoNotBlockOthers(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(dir, func(ctx context.Context, r Request, tell func(Reply)) Reply {
		if r.Do == "inject" {
			return hold(ctx, r, tell)
		}
		return Reply{Lines: []string{"aborted"}}
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan []string, maxHolders)
	for range maxHolders {
		began := make(chan struct{})
		go func() {
			reply, err := Hold(ctx, dir, Request{Do: "inject"}, func(Reply) { close(began) })
			assert.NoError(t, err)
			ended <- reply.Lines
		}()
		<-began
	}
	_, err = Hold(ctx, dir, Request{Do: "inject"}, func(Reply) {})
	require.ErrorContains(t, err, "8 programs hold something here already")
	for range 2 * maxClients {
		reply, err := Call(t.Context(), dir, Request{Do: "abort"})
		require.NoError(t, err)
		require.Equal(t, []string{"aborted"}, reply.Lines)
	}
	require.NoError(t, s.Close())
	for range maxHolders {
		assert.Equal(t, []string{errClosed.Error()}, <-ended, "they are told")
	}
}
