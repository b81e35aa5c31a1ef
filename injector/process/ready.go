package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Ready describes when a service is ready, in addition to listening at its address. At most one of
// TCP, HTTP and Line may be set. The zero value means as soon as it runs.
type Ready struct {
	TCP    string         // host:port that must accept a connection
	HTTP   string         // URL that must answer 2xx
	Line   *regexp.Regexp // must match a line of this start's log
	Within time.Duration  // 0 means 10 s
}

// String describes the condition.
func (r Ready) String() string {
	switch {
	case r.TCP != "":
		return r.TCP + " accepts connections"
	case r.HTTP != "":
		return r.HTTP + " answers 2xx"
	case r.Line != nil:
		return fmt.Sprintf("a line of its log matches %q", r.Line)
	}
	return "it is running"
}

// address returns the host:port of the condition, or "" if there is none.
func (r Ready) address() string {
	if r.HTTP == "" {
		return r.TCP
	}
	u, err := url.Parse(r.HTTP)
	if err != nil || u.Port() == "" {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// settleTime is how long a service without endpoints must stay alive after the ready line appeared in
// its log. This distinguishes a service from a program that only prints the line. A service that exits
// later is reported as exited.
const settleTime = 200 * time.Millisecond

var errNotReady = errors.New("not ready")

// ready waits until the service is ready. It returns an error if the service exits or the time is up.
func (s *Service) ready(ctx context.Context, r *instance) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.spec.Ready.Within, errNotReady)
	defer cancel()
	line := &finder{path: s.spec.Log, at: r.from}
	var last error // error of the last attempt that the time limit did not abort
	for {
		where, err := s.listensAll(r)
		if err != nil {
			return err
		}
		if where == "" {
			err := s.spec.Ready.check(ctx, line)
			if err == nil && s.markReady(ctx, r) {
				return nil
			}
			if last == nil || ctx.Err() == nil {
				last = err
			}
		}
		select {
		case <-r.done:
			return fmt.Errorf("it exited before it was ready: %s", r.status)
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause != errNotReady { //nolint:errorlint // never wrapped
				return cause
			}
			if where == "" && last != nil {
				return fmt.Errorf("not ready within %v: %w", s.spec.Ready.Within, last)
			}
			return fmt.Errorf("not ready within %v (%s)%s", s.spec.Ready.Within, s.spec.Ready, s.describeListening(r, where))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listensAll returns an endpoint where no process of the service listens yet, or "" if there is none.
// It returns an error if another process listens at an endpoint.
func (s *Service) listensAll(r *instance) (missing string, err error) {
	if len(s.spec.Listens) == 0 {
		return "", nil
	}
	for _, e := range s.spec.Listens {
		l := listening(e, r.family)
		if err := l.unexpected(e); err != nil {
			return "", err
		}
		if !l.members && !(l.any && l.hidden) {
			missing = e.String()
		}
	}
	return missing, nil
}

// markReady marks the service as ready and reports whether it did. It does not if the service has
// exited.
func (s *Service) markReady(ctx context.Context, r *instance) bool {
	if len(s.spec.Listens) == 0 && s.spec.Ready.Line != nil {
		wait, cancel := context.WithTimeout(ctx, settleTime)
		defer cancel()
		select {
		case <-r.done:
		case <-wait.Done():
		}
		if len(r.family.alive()) == 0 { // it has exited and was not reaped yet
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-r.done:
		return false
	default:
		r.wasReady = r.status == "" && ctx.Err() == nil
		return r.wasReady
	}
}

// describeListening describes where a service that is not ready listens.
func (s *Service) describeListening(r *instance, missing string) string {
	if missing == "" {
		return ""
	}
	at := listeningAddresses(r.family.alive())
	if len(at) == 0 {
		return fmt.Sprintf(": it does not listen on %s", missing)
	}
	return fmt.Sprintf(": it listens on %s and not on %s", strings.Join(at, ", "), missing)
}

// attemptTimeout limits one attempt to connect or to get an answer.
const attemptTimeout = time.Second

// check makes one attempt and returns nil if the service is ready. The error describes the result of
// the attempt.
func (r Ready) check(ctx context.Context, line *finder) error {
	switch {
	case r.TCP != "":
		c, err := (&net.Dialer{Timeout: attemptTimeout}).DialContext(ctx, "tcp", r.TCP)
		if err != nil {
			return err
		}
		_ = c.Close()
	case r.HTTP != "":
		return checkHTTP(ctx, r.HTTP)
	case r.Line != nil && !line.next(r.Line):
		return fmt.Errorf("no line of its log matches %q", r.Line)
	}
	return nil
}

// checkHTTP returns nil if a GET request is answered with 2xx.
func checkHTTP(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	var failed *url.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("GET %s: the last attempt was not answered", address)
	case errors.As(err, &failed):
		return fmt.Errorf("GET %s: %w", address, failed.Err)
	case err != nil:
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("GET %s was last answered with %d, not 2xx", address, resp.StatusCode)
	}
	return nil
}
