// Package control lets the user who started a run, or opened links without one, control them from another terminal,
// through a Unix socket in their folder.
//
// The socket has mode 0600, in a folder of mode 0700, and a server answers only processes of its own user (and root). A
// client asks only a socket that belongs to its own user. Both read limited amounts, for a limited time. A request has to
// be of this Version and may have no other fields than those of Request. What can be asked is what the Handler offers:
// nothing is ever executed that a request contains.
//
// A request that holds something, such as a fault injected by hand (see Hands), has a lease: its client sends a sign of
// life every second, and once it is gone or silent, the context of the request ends.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Name is the name of the socket in the folder of a run.
const Name = "control.sock"

// newName is the name of a socket on which nothing listens yet. A server renames it once it does, so that a socket called
// Name that refuses connections is known to be the rest of a server that was killed.
const newName = "control.new"

// Version is that of the protocol. Both sides have to have the same.
const Version = 1

const (
	maxMessage = 64 << 10         // bytes of a request or a reply
	maxText    = 8 << 10          // bytes of the lines of a reply that would be longer; JSON needs up to six for one
	readWithin = 10 * time.Second // for a request to arrive
	maxClients = 16               // at the same time; others wait
	maxHolders = 8                // clients with a lease, which are not among them

	lease     = 10 * time.Second // after which a client that sends no sign of life is taken for dead
	beatEvery = time.Second      // between signs of life
	endWithin = time.Minute      // for the last reply to a client that ends its lease
)

// Request asks a run, or links that stand without one, to do something.
type Request struct {
	Version int    `json:"version"` // set by Call and Hold
	Do      string `json:"do"`
	By      string `json:"by,omitempty"` // who asks, for the journal

	Sentence  string `json:"sentence,omitempty"`   // to "inject": a fault
	UntilHeal bool   `json:"until_heal,omitempty"` // to "inject": the sentence has no duration
	Scenario  string `json:"scenario,omitempty"`   // to "inject": the name or ID of a scenario, if several run; "" for the one that the sentence fits
	Fault     string `json:"fault,omitempty"`      // to "heal": its ID, or "all"

	Hold bool `json:"hold,omitempty"` // set by Hold: the request lasts as long as its client
}

// Reply is an answer to a Request. Only one that Hold sent gets several.
type Reply struct {
	Lines   []string `json:"lines,omitempty"`   // for people
	Error   string   `json:"error,omitempty"`   // why nothing was done; "" if it was
	Nothing bool     `json:"nothing,omitempty"` // the fault that was injected affected nothing
	More    bool     `json:"more,omitempty"`    // another reply follows
}

// Handler answers a request. It may be called by several goroutines. The context ends with the server and, for a request
// with a lease, with its client; its cause says which. tell sends a reply before the one that is returned.
type Handler func(ctx context.Context, r Request, tell func(Reply)) Reply

// Server answers requests. The caller closes it.
type Server struct {
	path    string
	ln      *net.UnixListener
	handle  Handler
	ctx     context.Context
	cancel  context.CancelCauseFunc
	clients chan struct{}
	holders chan struct{}
	lease   time.Duration
	serving sync.WaitGroup
}

// The causes of the end of the context of a Handler.
var (
	errClosed = errors.New("its links ended")
	errGone   = errors.New("the program that asked for it has ended")
)

// Listen serves requests at a new socket in a folder, which it makes accessible to its owner only.
func Listen(dir string, handle Handler) (*Server, error) { return listen(dir, handle, lease) }

func listen(dir string, handle Handler, lease time.Duration) (*Server, error) {
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs the x bit
		return nil, fmt.Errorf("protect the folder of the control socket: %w", err)
	}
	short, done, err := shortPath(dir, newName)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at the control socket of %q: %w", dir, err)
	}
	ln.SetUnlinkOnClose(false)
	s := &Server{path: filepath.Join(dir, newName), ln: ln, handle: handle, clients: make(chan struct{}, maxClients), holders: make(chan struct{}, maxHolders), lease: lease}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the control socket: %w", err), s.Close())
	}
	if err := os.Rename(s.path, filepath.Join(dir, Name)); err != nil {
		return nil, errors.Join(fmt.Errorf("name the control socket: %w", err), s.Close())
	}
	s.path = filepath.Join(dir, Name)
	s.serving.Go(s.accept)
	return s, nil
}

// Close removes the socket and stops serving. Requests that are being answered end.
func (s *Server) Close() error {
	s.cancel(errClosed)
	err := errors.Join(os.Remove(s.path), s.ln.Close()) // in this order, as RemoveStale removes one that refuses connections
	s.serving.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.ln.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // no file is left: others may close some
			continue
		}
		select {
		case s.clients <- struct{}{}:
		case <-s.ctx.Done():
			_ = conn.Close()
			return
		}
		s.serving.Go(func() {
			leave := sync.OnceFunc(func() { <-s.clients })
			defer leave()
			s.serve(conn, leave)
		})
	}
}

// serve answers the one request of a connection. It calls leave once the connection is no longer to be counted in clients.
func (s *Server) serve(conn *net.UnixConn, leave func()) {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(s.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	uid, err := peer(conn)
	if err != nil || uid != os.Geteuid() && uid != 0 {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(readWithin))
	var r Request
	if err := receive(reader(conn), &r); err != nil {
		_ = send(conn, Reply{Error: "read the request: " + err.Error()})
		return
	}
	if r.Version != Version {
		_ = send(conn, Reply{Error: fmt.Sprintf("the request has version %d of the control protocol, and version %d is spoken here: use the same firedrill in both terminals", r.Version, Version)})
		return
	}
	ctx := s.ctx
	if r.Hold {
		select {
		case s.holders <- struct{}{}:
			defer func() { <-s.holders }()
		default:
			_ = send(conn, Reply{Error: fmt.Sprintf("%d programs hold something here already: end one of them", maxHolders)})
			return
		}
		leave()
		held, cancel := context.WithCancelCause(s.ctx)
		defer cancel(nil)
		ctx = held
		watching.Go(func() { cancel(s.awaitEnd(conn)) })
	}
	_ = sendReply(conn, s.handle(ctx, r, func(more Reply) {
		more.More = true
		_ = sendReply(conn, more)
	}))
}

// sendReply sends a reply, without the end of its texts if it is longer than what a client reads: a client that got nothing
// would take a run for one that does not answer.
func sendReply(conn net.Conn, r Reply) error {
	if raw, err := json.Marshal(r); err == nil && len(raw) >= maxMessage {
		room := maxText
		var lines []string
		for _, line := range r.Lines {
			if room <= 0 {
				break
			}
			lines = append(lines, beginning(line, &room))
		}
		if left := len(r.Lines) - len(lines); left > 0 {
			lines = append(lines, fmt.Sprintf("… and %d more", left))
		}
		room = maxText / 4
		r.Lines, r.Error = lines, beginning(r.Error, &room)
	}
	return send(conn, r)
}

// beginning returns as much of a text as there is room for, and takes the room.
func beginning(text string, room *int) string {
	whole := len(text) <= *room
	text = text[:min(len(text), *room)]
	if *room -= len(text); whole {
		return text
	}
	return strings.ToValidUTF8(text, "") + "…"
}

// awaitEnd waits until a client with a lease is gone, and returns how it was noticed.
func (s *Server) awaitEnd(conn *net.UnixConn) error {
	buf := make([]byte, 64)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(s.lease))
		if s.ctx.Err() != nil {
			return errClosed
		}
		_, err := conn.Read(buf)
		switch {
		case err == nil:
		case s.ctx.Err() != nil: // Close ends the read, too
			return errClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("the program that asked for it did not run for %s", s.lease)
		default:
			return errGone
		}
	}
}

// Call sends a request to the run or links whose folder is dir, and returns the reply.
func Call(ctx context.Context, dir string, r Request) (Reply, error) {
	conn, err := dial(ctx, dir)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	r.Version = Version
	var reply Reply
	if err = send(conn, r); err == nil {
		err = receive(reader(conn), &reply)
	}
	return answered(ctx, dir, r, reply, err)
}

// Hold sends a request that lasts until the server ends it or ctx does, and returns the last reply, which it awaits for a
// minute after the end of ctx. It calls tell for each reply before that.
func Hold(ctx context.Context, dir string, r Request, tell func(Reply)) (Reply, error) {
	conn, err := dial(ctx, dir)
	if err != nil {
		return Reply{}, err
	}
	var beating sync.WaitGroup
	over := make(chan struct{})
	defer beating.Wait()
	defer close(over)
	defer func() { _ = conn.Close() }()
	r.Version, r.Hold = Version, true
	if err := send(conn, r); err != nil {
		return answered(ctx, dir, r, Reply{}, err)
	}
	beating.Go(func() { beat(ctx, over, conn) })
	lines := reader(conn)
	for {
		var reply Reply
		err := receive(lines, &reply)
		if err != nil || !reply.More {
			return answered(context.WithoutCancel(ctx), dir, r, reply, err)
		}
		tell(reply)
	}
}

// beat sends signs of life until over, or until ctx ends, which ends the lease.
func beat(ctx context.Context, over <-chan struct{}, conn *net.UnixConn) {
	ticks := time.NewTicker(beatEvery)
	defer ticks.Stop()
	for {
		select {
		case <-over:
			return
		case <-ctx.Done():
			_ = conn.SetReadDeadline(time.Now().Add(endWithin))
			_ = conn.CloseWrite()
			return
		case <-ticks.C:
			_ = conn.SetWriteDeadline(time.Now().Add(readWithin))
			_, _ = conn.Write([]byte("\n"))
		}
	}
}

// dial connects to the socket in a folder. The caller closes the connection.
func dial(ctx context.Context, dir string) (*net.UnixConn, error) {
	if err := owned(filepath.Join(dir, Name)); err != nil {
		return nil, err
	}
	short, done, err := shortPath(dir, Name)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", short)
	switch {
	case errors.Is(err, refused):
		return nil, fmt.Errorf("%q is over: it was killed, and its links ended with it; firedrill heal removes its socket and undoes what else is left: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("connect to the control socket of %q: %w", dir, err)
	}
	return conn.(*net.UnixConn), nil
}

// answered returns the result of a request.
func answered(ctx context.Context, dir string, r Request, reply Reply, err error) (Reply, error) {
	switch {
	case err != nil && ctx.Err() != nil:
		return Reply{}, fmt.Errorf("ask %q to %s: %w", dir, r.Do, context.Cause(ctx))
	case err != nil && r.Hold:
		return Reply{}, fmt.Errorf("%q ended meanwhile, with its links and what was live on them: %w", dir, err)
	case err != nil:
		return Reply{}, fmt.Errorf("ask %q to %s: %w", dir, r.Do, err)
	case reply.Error != "":
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

// send writes a message, which is one line of JSON.
func send(conn net.Conn, message any) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(readWithin))
	_, err = conn.Write(append(raw, '\n'))
	return err
}

// reader returns a scanner of messages.
func reader(conn net.Conn) *bufio.Scanner {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxMessage)
	return lines
}

// receive reads a message, which may have no other fields than those of the value.
func receive(lines *bufio.Scanner, message any) error {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return err
		}
		return errors.New("the connection was closed")
	}
	dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(message); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("the line has more than one value")
	}
	return nil
}
