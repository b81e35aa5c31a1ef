// Package control is how the user who started a run controls it from another terminal: through a Unix socket in the folder
// of the run.
//
// The socket has mode 0600, in a folder of mode 0700, and a server answers only processes of its own user (and root). A
// client asks only a socket that belongs to its own user. Both read limited amounts, for a limited time. What can be
// asked is what the Handler offers: nothing is ever executed that a request contains.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Name is the name of the socket in the folder of a run.
const Name = "control.sock"

const (
	maxMessage = 64 << 10         // bytes of a request or a reply
	readWithin = 10 * time.Second // for a request to arrive
	maxClients = 16               // at the same time; others wait
)

// Request asks a run to do something.
type Request struct {
	Do string `json:"do"`           // "status" or "abort"
	By string `json:"by,omitempty"` // who asks, for the journal
}

// Reply is the answer to a Request.
type Reply struct {
	Lines []string `json:"lines,omitempty"` // for people
	Error string   `json:"error,omitempty"` // why nothing was done; "" if it was
}

// Handler answers a request. It may be called by several goroutines. The context ends with the client and the server.
type Handler func(context.Context, Request) Reply

// Server answers requests. The caller closes it.
type Server struct {
	path    string
	ln      *net.UnixListener
	handle  Handler
	ctx     context.Context
	cancel  context.CancelFunc
	clients chan struct{}
	serving sync.WaitGroup
}

// Listen serves requests at a new socket in a folder, which it makes accessible to its owner only.
func Listen(dir string, handle Handler) (*Server, error) {
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs the x bit
		return nil, fmt.Errorf("protect the folder of the control socket: %w", err)
	}
	short, done, err := shortPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at the control socket of %q: %w", dir, err)
	}
	ln.SetUnlinkOnClose(false)
	s := &Server{path: filepath.Join(dir, Name), ln: ln, handle: handle, clients: make(chan struct{}, maxClients)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the control socket: %w", err), s.Close())
	}
	s.serving.Go(s.accept)
	return s, nil
}

// Close stops serving and removes the socket. Requests that are being answered end.
func (s *Server) Close() error {
	s.cancel()
	err := s.ln.Close()
	s.serving.Wait()
	return errors.Join(err, os.Remove(s.path))
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
			defer func() { <-s.clients }()
			s.serve(conn)
		})
	}
}

// serve answers the one request of a connection.
func (s *Server) serve(conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(s.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	uid, err := peer(conn)
	if err != nil || uid != os.Geteuid() && uid != 0 {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(readWithin))
	var r Request
	if err := receive(conn, &r); err != nil {
		_ = send(conn, Reply{Error: "read the request: " + err.Error()})
		return
	}
	_ = send(conn, s.handle(s.ctx, r))
}

// Call sends a request to the run whose folder is dir, and returns its reply.
func Call(ctx context.Context, dir string, r Request) (Reply, error) {
	if err := owned(filepath.Join(dir, Name)); err != nil {
		return Reply{}, err
	}
	short, done, err := shortPath(dir)
	if err != nil {
		return Reply{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", short)
	done()
	if err != nil {
		return Reply{}, fmt.Errorf("the run %q does not answer: it has ended: %w", dir, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var reply Reply
	if err = send(conn, r); err == nil {
		err = receive(conn, &reply)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Reply{}, fmt.Errorf("ask the run %q to %s: %w", dir, r.Do, err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

// Running returns the folders below dir of runs that answer, in the order of their names.
func Running(ctx context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for runs in %q: %w", dir, err)
	}
	var all []string
	for _, e := range entries {
		run := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(run, Name)); !e.IsDir() || err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		_, err := Call(ctx, run, Request{Do: "status"})
		cancel()
		if err == nil {
			all = append(all, run)
		}
	}
	return all, nil
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

// receive reads a message.
func receive(conn net.Conn, message any) error {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxMessage)
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return err
		}
		return errors.New("the connection was closed")
	}
	return json.Unmarshal(lines.Bytes(), message)
}
